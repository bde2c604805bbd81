"""The disks of a new instance: those of its AMI, changed by the launch template and the request.

Source: Amazon EC2 User Guide, "Block device mappings", "Amazon EBS encryption" (a snapshot's encryption stays).
Unverified: the words for encryption that a snapshot does not allow to be left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images.state import Image

_TYPE = "gp2"
_BLANK = 8  # GiB of a disk of which nothing is said


@dataclass(frozen=True, slots=True)
class Disk:
    device: str
    size: int  # GiB
    kind: str
    encrypted: bool
    goes: bool  # with the instance
    snapshot_id: str | None
    kms_key: str | None
    more: Mapping[str, int]


def wanted(
    call: Call, image: Image, mappings: Sequence[Mapping[str, Any]], backend: Any
) -> list[Disk]:
    """The disks by device. Raises InvalidBlockDeviceMapping for one that is smaller than its snapshot."""
    by_device: dict[str, dict[str, Any]] = {
        one["DeviceName"]: dict(one.get("Ebs") or {})
        for one in image.facts.get("BlockDeviceMappings") or ()
    }
    for one in mappings:
        name = str(one.get("DeviceName", ""))
        if "NoDevice" in one:
            by_device.pop(name, None)
        else:
            by_device[name] = by_device.get(name, {}) | dict(one.get("Ebs") or {})
    return [_disk(call, device, ebs, backend) for device, ebs in by_device.items()]


def _disk(call: Call, device: str, ebs: Mapping[str, Any], backend: Any) -> Disk:
    snapshot_id = ebs.get("SnapshotId")
    snapshot = call.cloud.images.snapshots.get(snapshot_id or "")
    size = int(ebs.get("VolumeSize") or (snapshot.size if snapshot else _BLANK))
    encrypted = str(ebs.get("Encrypted", "")).lower()
    if snapshot is not None and size < snapshot.size:
        raise AwsError(
            "InvalidBlockDeviceMapping",
            f"Volume of size {size}GB is smaller than snapshot '{snapshot_id}', expect size >= {snapshot.size}GB",
        )
    if snapshot is not None and snapshot.encrypted and encrypted == "false":
        raise AwsError(
            "InvalidBlockDeviceMapping",
            f"the encrypted flag cannot be turned off since snapshot '{snapshot_id}' is encrypted",
        )
    return Disk(
        device,
        size,
        str(ebs.get("VolumeType") or _TYPE),
        encrypted == "true"
        or bool(snapshot and snapshot.encrypted)
        or bool(backend.ebs_encryption_by_default),
        str(ebs.get("DeleteOnTermination", "true")).lower() == "true",
        snapshot_id,
        ebs.get("KmsKeyId"),
        {name.lower(): int(ebs[name]) for name in ("Iops", "Throughput") if ebs.get(name)},
    )


def attach(instance: Any, disks: Sequence[Disk], tags: Mapping[str, str]) -> None:
    """Give a new instance these disks in the place of those that moto made up."""
    instance.teardown_defaults()
    for disk in disks:
        key = disk.kms_key if disk.encrypted else None
        instance.add_block_device(
            disk.size, disk.device, None, disk.encrypted, disk.goes, key, disk.kind
        )
        held = instance.block_device_mapping[disk.device]
        volume = instance.ec2_backend.volumes[held.volume_id]
        volume.snapshot_id = disk.snapshot_id
        volume.add_tags(dict(tags))
        for name, value in disk.more.items():
            setattr(volume, name, value)
