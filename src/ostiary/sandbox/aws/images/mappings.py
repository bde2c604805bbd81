"""The block device mappings of RegisterImage: what they must say, and what is kept of them.

Source: Amazon EC2 API Reference, BlockDeviceMapping, EbsBlockDevice. Messages as seen in packer #2285, terraform #1862; those
of the root device and of a snapshot that is not completed are unverified.
"""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images.kept_snapshots import owned_snapshot


def mapped(call: Call) -> list[dict[str, Any]]:
    """The mappings of a request as DescribeImages shows them."""
    root = call.params.get("RootDeviceName", "")
    mappings = call.params.get("BlockDeviceMappings") or []
    named = [one.get("DeviceName", "") for one in mappings]
    if len(named) != len(set(named)):
        raise AwsError("InvalidBlockDeviceMapping", "A device name is given more than once.")
    if not root or not any(
        one.get("DeviceName") == root and one.get("Ebs", {}).get("SnapshotId") for one in mappings
    ):
        raise AwsError(
            "InvalidBlockDeviceMapping", "The root device must have a mapping with a snapshot"
        )
    return [_mapping(call, one) for one in mappings]


def _mapping(call: Call, one: dict[str, Any]) -> dict[str, Any]:
    device = one.get("DeviceName", "")
    ebs = one.get("Ebs")
    if not ebs:
        return {"DeviceName": device, "VirtualName": one.get("VirtualName", "")}
    if not ebs.get("SnapshotId"):
        return {"DeviceName": device, "Ebs": _empty_volume(device, ebs)}
    snapshot = owned_snapshot(call, ebs["SnapshotId"])
    if snapshot.state != "completed":
        raise AwsError(
            "IncorrectState", f"The snapshot {snapshot.id} is not in the completed state"
        )
    size = ebs.get("VolumeSize", snapshot.size)
    if size < snapshot.size:
        raise AwsError(
            "InvalidBlockDeviceMapping",
            f"Volume of size {size}GB is smaller than snapshot '{snapshot.id}', expect size >= {snapshot.size}GB",
        )
    if "Encrypted" in ebs:
        raise AwsError(
            "InvalidParameter",
            "Parameter encrypted is invalid. You cannot specify the encrypted flag if specifying a snapshot id in a block"
            " device mapping.",
        )
    kept = {
        "SnapshotId": snapshot.id,
        "VolumeSize": size,
        "VolumeType": ebs.get("VolumeType", "standard"),
        "DeleteOnTermination": ebs.get("DeleteOnTermination", True),
        "Encrypted": snapshot.encrypted,
    }
    return {
        "DeviceName": device,
        "Ebs": kept | {k: ebs[k] for k in ("Iops", "Throughput") if k in ebs},
    }


def _empty_volume(device: str, ebs: dict[str, Any]) -> dict[str, Any]:
    if not ebs.get("VolumeSize"):
        raise AwsError(
            "InvalidBlockDeviceMapping",
            f"Either snapshot ID or volume size must be provided for: {device}",
        )
    return {"VolumeType": "standard", "DeleteOnTermination": True, "Encrypted": False} | ebs
