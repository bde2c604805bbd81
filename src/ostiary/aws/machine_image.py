"""AMIs: registered from snapshots, found again by tags, described, removed with their snapshots.

Source: Amazon EC2 API Reference, RegisterImage, DescribeImages, DeregisterImage.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ostiary.aws.session import Aws
from ostiary.errors import Conflict, NotFound

DEVICES = ("/dev/sda1", *(f"/dev/sd{letter}" for letter in "fghijklmnopqrstuvwxyz"))


@dataclass(frozen=True, slots=True)
class MachineImage:
    """``sizes`` in GiB by device; ``boot_mode`` is legacy-bios, uefi, uefi-preferred or "" (the type's default)."""

    id: str
    name: str
    state: str
    architecture: str
    boot_mode: str
    ena: bool
    root_device: str
    sizes: Mapping[str, int]
    snapshot_ids: tuple[str, ...]
    tags: Mapping[str, str]
    reason: str = ""  # of a state that is none of pending and available


def get(aws: Aws, region: str, image_id: str) -> MachineImage:
    """NotFound if there is no such AMI of ours or shared with us."""
    try:
        listed = aws.call("ec2", "describe_images", region=region, ImageIds=[image_id])["Images"]
    except NotFound:
        listed = []
    if not listed:
        raise NotFound(
            f"no AMI {image_id} in {region}",
            why="none of this account's, and none that is shared with it",
            fix=f"look: aws ec2 describe-images --owners self --region {region}",
        )
    return _image(listed[0])


def find(aws: Aws, region: str, tags: Mapping[str, str]) -> tuple[MachineImage, ...]:
    """Our own AMIs with these tags, the oldest first."""
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in sorted(tags.items())]
    answer = aws.call("ec2", "describe_images", region=region, Owners=["self"], Filters=filters)
    listed = sorted(answer["Images"], key=lambda one: (one.get("CreationDate", ""), one["ImageId"]))
    return tuple(_image(one) for one in listed)


def named(aws: Aws, region: str, name: str) -> tuple[MachineImage, ...]:
    """Our own AMIs of this name: none or one."""
    filters = [{"Name": "name", "Values": [name]}]
    answer = aws.call("ec2", "describe_images", region=region, Owners=["self"], Filters=filters)
    return tuple(_image(one) for one in answer["Images"])


def register(
    aws: Aws,
    region: str,
    name: str,
    snapshots: Sequence[tuple[str, int]],
    *,
    boot_mode: str,
    ena: bool,
    description: str,
    tags: Mapping[str, str],
) -> str:
    """An AMI of snapshots with their sizes in GiB, the root disk first; its id. IMDSv2 is asked of every instance.

    Once more after a lost answer: the AMI of that name with these tags is the one.
    """
    more: dict[str, Any] = {"BootMode": boot_mode} if boot_mode else {}
    if boot_mode == "uefi":
        more["TpmSupport"] = "v2.0"
    devices = [
        {
            "DeviceName": DEVICES[number],
            "Ebs": {
                "SnapshotId": snapshot,
                "VolumeSize": size,
                "VolumeType": "gp3",
                "DeleteOnTermination": True,
            },
        }
        for number, (snapshot, size) in enumerate(snapshots)
    ]
    try:
        answer = aws.call(
            "ec2",
            "register_image",
            region=region,
            repeatable=True,
            Name=name,
            Description=description,
            Architecture="x86_64",
            VirtualizationType="hvm",
            RootDeviceName=DEVICES[0],
            EnaSupport=ena,
            SriovNetSupport="simple",
            ImdsSupport="v2.0",
            BlockDeviceMappings=devices,
            TagSpecifications=[{"ResourceType": "image", "Tags": _listed(tags)}],
            **more,
        )
    except Conflict as taken:
        known = find(aws, region, tags) if taken.code == "InvalidAMIName.Duplicate" else ()
        same = [one for one in known if one.name == name]
        if not same:
            raise Conflict(
                f"cannot register AMI {name}",
                why=taken.why,
                fix="choose another name with --name",
                code=taken.code,
            ) from taken
        return same[0].id
    return str(answer["ImageId"])


def tag(aws: Aws, region: str, resources: Sequence[str], tags: Mapping[str, str]) -> None:
    aws.call(
        "ec2",
        "create_tags",
        region=region,
        repeatable=True,
        Resources=list(resources),
        Tags=_listed(tags),
    )


def snapshot_sizes(aws: Aws, region: str, snapshot_ids: Sequence[str]) -> dict[str, int]:
    """GiB by snapshot."""
    answer = aws.call("ec2", "describe_snapshots", region=region, SnapshotIds=list(snapshot_ids))
    return {one["SnapshotId"]: int(one["VolumeSize"]) for one in answer["Snapshots"]}


def snapshot_state(aws: Aws, region: str, snapshot_id: str) -> tuple[str, str]:
    """(state, message): pending, completed, error."""
    answer = aws.call("ec2", "describe_snapshots", region=region, SnapshotIds=[snapshot_id])
    one = answer["Snapshots"][0]
    return str(one["State"]), str(one.get("StateMessage", ""))


def remove(aws: Aws, region: str, image: MachineImage) -> None:
    """Deregister an AMI and delete its snapshots; what is gone already is fine."""
    with contextlib.suppress(NotFound):
        aws.call("ec2", "deregister_image", region=region, repeatable=True, ImageId=image.id)
    for snapshot_id in image.snapshot_ids:
        delete_snapshot(aws, region, snapshot_id)


def delete_snapshot(aws: Aws, region: str, snapshot_id: str) -> bool:
    """Whether it was there. Conflict if an AMI uses it."""
    try:
        aws.call("ec2", "delete_snapshot", region=region, repeatable=True, SnapshotId=snapshot_id)
    except NotFound:
        return False
    return True


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def _image(one: Mapping[str, Any]) -> MachineImage:
    mappings = [m for m in one.get("BlockDeviceMappings") or () if "Ebs" in m]
    return MachineImage(
        one["ImageId"],
        str(one.get("Name", "")),
        str(one.get("State", "")),
        str(one.get("Architecture", "")),
        str(one.get("BootMode", "")),
        bool(one.get("EnaSupport")),
        str(one.get("RootDeviceName", "")),
        {m["DeviceName"]: int(m["Ebs"].get("VolumeSize", 0)) for m in mappings},
        tuple(m["Ebs"]["SnapshotId"] for m in mappings if m["Ebs"].get("SnapshotId")),
        {t["Key"]: t["Value"] for t in one.get("Tags") or ()},
        str((one.get("StateReason") or {}).get("Message", "")),
    )
