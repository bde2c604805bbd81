"""AMIs: registered with what they are and refused where EC2 refuses. What can start them is ``launching.py``'s.

Source: Amazon EC2 API Reference, RegisterImage, DescribeImages, DeregisterImage; EC2 User Guide, "Boot modes". Messages on
mappings are as seen in packer #2285, terraform #1862 and mantle (TpmSupport needs uefi); the others are unverified.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images.described import filtered, shown_tags, tags_at_creation
from ostiary.sandbox.aws.images.kept_snapshots import remove, used_by
from ostiary.sandbox.aws.images.mappings import mapped
from ostiary.sandbox.aws.images.snapshots import images_of
from ostiary.sandbox.aws.images.state import Image

_NAME = re.compile(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}")
_ID = re.compile(r"ami-[0-9a-f]{8}(?:[0-9a-f]{9})?")
_HONOURED: tuple[str, ...] = ("Architecture", "BootMode", "Description", "EnaSupport")
_HONOURED += (
    "ImdsSupport",
    "KernelId",
    "RamdiskId",
    "RootDeviceName",
    "SriovNetSupport",
    "TpmSupport",
    "VirtualizationType",
)


def register_image(call: Call) -> dict[str, Any]:
    params = call.params
    name = params.get("Name", "")
    if not _NAME.fullmatch(name):
        raise AwsError(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.',"
            " '-', '/', '_', ' ', '\\'', '@', '[' and ']'",
        )
    images = images_of(call)
    for known in images.images.values():
        if (known.name, known.account_id, known.region) == (name, call.account.id, call.region):
            raise AwsError(
                "InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {known.id}"
            )
    mappings = mapped(call)
    _check_modes(params)
    facts = {key: params[key] for key in _HONOURED if key in params}
    facts.setdefault("Architecture", "i386")
    facts.setdefault("VirtualizationType", "paravirtual")
    facts["BlockDeviceMappings"] = mappings
    tags, below = tags_at_creation(params, "image"), tags_at_creation(params, "snapshot")
    image = keep(call, name, facts, tags)
    for snapshot_id in image.snapshots:
        images.snapshots[snapshot_id].tags |= below
    return {"ImageId": image.id}


def keep(call: Call, name: str, facts: dict[str, Any], tags: dict[str, str]) -> Image:
    """Add an AMI to the registry of the caller's account and region."""
    images = images_of(call)
    image = Image(images.new_id("ami"), call.account.id, call.region, name, facts, tags)
    created = datetime.fromtimestamp(call.now, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    facts["CreationDate"] = created
    images.images[image.id] = image
    return image


_VALUES: dict[str, tuple[str, ...]] = {
    "Architecture": ("i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"),
    "BootMode": ("legacy-bios", "uefi", "uefi-preferred"),
    "ImdsSupport": ("v2.0",),
    "SriovNetSupport": ("simple",),
    "TpmSupport": ("v2.0",),
    "VirtualizationType": ("hvm", "paravirtual"),
}


def _check_modes(params: dict[str, Any]) -> None:
    for name, known in _VALUES.items():
        if params.get(name) not in (None, *known):
            raise AwsError(
                "InvalidParameterValue",
                f"Value ({params[name]}) for parameter {name} is invalid. Valid values: {', '.join(known)}.",
            )
    mode = params.get("BootMode")
    if params.get("TpmSupport") and mode != "uefi":
        raise AwsError(
            "InvalidParameterCombination", "TpmSupport v2.0 requires the boot mode uefi."
        )
    if mode and params.get("VirtualizationType") != "hvm":
        raise AwsError("InvalidParameterCombination", "BootMode requires VirtualizationType hvm.")


def own_image(call: Call, image_id: str) -> Image:
    if not _ID.fullmatch(image_id):
        raise AwsError("InvalidAMIID.Malformed", f'Invalid id: "{image_id}"')
    image = images_of(call).images.get(image_id)
    if image is None or (image.account_id, image.region) != (call.account.id, call.region):
        raise AwsError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    return image


def describe_images(call: Call) -> dict[str, Any]:
    wanted = call.params.get("ImageIds") or ()
    for image_id in wanted:
        own_image(call, image_id)
    found = [
        _shown(one)
        for one in images_of(call).images.values()
        if (one.account_id, one.region) == (call.account.id, call.region)
        and (not wanted or one.id in wanted)
    ]
    owners = call.params.get("Owners") or ()
    if owners and not {"self", call.account.id} & set(owners):
        found = []
    return {"Images": filtered(call, found, _FILTERS)}


_FILTERS = {
    "architecture": "Architecture",
    "boot-mode": "BootMode",
    "creation-date": "CreationDate",
    "description": "Description",
    "ena-support": "EnaSupport",
    "image-id": "ImageId",
    "is-public": "Public",
    "name": "Name",
    "owner-id": "OwnerId",
    "root-device-name": "RootDeviceName",
    "root-device-type": "RootDeviceType",
    "state": "State",
    "virtualization-type": "VirtualizationType",
}


def _shown(image: Image) -> dict[str, Any]:
    return {
        "ImageId": image.id,
        "ImageLocation": f"{image.account_id}/{image.name}",
        "ImageType": "machine",
        "Name": image.name,
        "OwnerId": image.account_id,
        "State": image.state,
        "Public": False,
        "Hypervisor": "xen",
        "RootDeviceType": "ebs",
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "Tags": shown_tags(image.tags),
        **image.facts,
    }


def deregister_image(call: Call) -> dict[str, Any]:
    image = own_image(call, call.params["ImageId"])
    images = images_of(call)
    del images.images[image.id]
    deleted = []
    if call.params.get("DeleteAssociatedSnapshots"):
        for snapshot_id in image.snapshots:
            free = not used_by(call, snapshot_id)
            if free and snapshot_id in images.snapshots:
                remove(call, images.snapshots[snapshot_id])
            code = "success" if free else "skipped"
            deleted.append({"SnapshotId": snapshot_id, "ReturnCode": code})
    return {"Return": True, "DeleteSnapshotResults": deleted}


def describe_image_attribute(call: Call) -> dict[str, Any]:
    image = own_image(call, call.params["ImageId"])
    attribute = call.params["Attribute"]
    member = {"description": "Description", "bootMode": "BootMode", "tpmSupport": "TpmSupport"}
    member |= {"imdsSupport": "ImdsSupport", "sriovNetSupport": "SriovNetSupport"}
    if attribute not in member:
        raise AwsError("NotImplemented", f"The attribute {attribute} is not served here", 501)
    name = member[attribute]
    return {"ImageId": image.id, name: {"Value": image.facts.get(name, "")}}


def modify_image_attribute(call: Call) -> dict[str, Any]:
    image = own_image(call, call.params["ImageId"])
    for name in ("Description", "ImdsSupport"):
        if name in call.params:
            image.facts[name] = call.params[name]["Value"]
    unknown = set(call.params) - {"ImageId", "Description", "ImdsSupport", "DryRun", "Attribute"}
    if unknown:
        raise AwsError("NotImplemented", f"{min(unknown)} is not served here", 501)
    return {}
