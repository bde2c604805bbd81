"""AMIs: registered with what they are, refused where EC2 refuses, launched only on what can start them.

Source: Amazon EC2 API Reference, RegisterImage, DescribeImages, DeregisterImage; EC2 User Guide, "Boot modes", "Enhanced
networking". Messages are as seen in issues where a link says so, else unverified.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images.snapshots import images_of, settle
from ostiary.sandbox.aws.images.state import Image, Snapshot

_NAME = re.compile(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}")
_ID = re.compile(r"ami-[0-9a-f]{8}(?:[0-9a-f]{9})?")
_XEN = re.compile(r"(?:t1|t2|m[1-4]|c[134]|r3|r4|i2|i3|d2|x1|x1e|g3|p2|p3|h1|f1)\.")
_ARM = re.compile(r"(?:a1|t4g|[cmrx][678]g[den]*|im4gn|is4gen|i4g|g5g|x2gd|hpc7g)\.")
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
    root = params.get("RootDeviceName", "")
    mappings = params.get("BlockDeviceMappings") or []
    if not root or root not in {one.get("DeviceName") for one in mappings}:
        raise AwsError(
            "InvalidBlockDeviceMapping", "The root device must have a mapping with a snapshot"
        )
    _check_modes(params)
    facts = {key: params[key] for key in _HONOURED if key in params}
    facts.setdefault("Architecture", "i386")
    facts.setdefault("VirtualizationType", "paravirtual")
    facts["BlockDeviceMappings"] = [_mapping(call, one) for one in mappings]
    tags = {
        one["Key"]: one.get("Value", "")
        for specification in params.get("TagSpecifications") or ()
        if specification.get("ResourceType") == "image"
        for one in specification.get("Tags") or ()
    }
    return {"ImageId": keep(call, name, facts, tags).id}


def keep(call: Call, name: str, facts: dict[str, Any], tags: dict[str, str]) -> Image:
    """Add an AMI to the registry of the caller's account and region."""
    images = images_of(call)
    image = Image(images.new_id("ami"), call.account.id, call.region, name, facts, tags)
    created = datetime.fromtimestamp(call.now, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    facts["CreationDate"] = created
    images.images[image.id] = image
    return image


def _check_modes(params: dict[str, Any]) -> None:
    mode = params.get("BootMode")
    if mode not in (None, "legacy-bios", "uefi", "uefi-preferred"):
        raise AwsError("InvalidParameterValue", f"Invalid value '{mode}' for BootMode.")
    if params.get("TpmSupport") and mode != "uefi":
        raise AwsError(
            "InvalidParameterCombination", "TpmSupport v2.0 requires the boot mode uefi."
        )
    if mode and params.get("VirtualizationType") != "hvm":
        raise AwsError("InvalidParameterCombination", "BootMode requires VirtualizationType hvm.")


def _mapping(call: Call, one: dict[str, Any]) -> dict[str, Any]:
    device = one.get("DeviceName", "")
    ebs = one.get("Ebs")
    if not ebs:
        return {"DeviceName": device, "VirtualName": one.get("VirtualName", "")}
    snapshot = owned_snapshot(call, ebs.get("SnapshotId", ""))
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
            "InvalidParameterValue",
            "The parameter Encrypted is not allowed for a mapping with a snapshot",
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


def owned_snapshot(call: Call, snapshot_id: str) -> Snapshot:
    snapshot = images_of(call).snapshots.get(snapshot_id)
    if snapshot is None or (snapshot.account_id, snapshot.region) != (call.account.id, call.region):
        raise AwsError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
    settle(snapshot, call.now)
    return snapshot


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
    names = {
        "name": "Name",
        "image-id": "ImageId",
        "state": "State",
        "architecture": "Architecture",
    }
    names |= {"boot-mode": "BootMode", "owner-id": "OwnerId", "root-device-name": "RootDeviceName"}
    return {"Images": filtered(call, found, names)}


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
    del images_of(call).images[image.id]
    return {"Return": True, "DeleteSnapshotResults": []}


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


def describe_snapshots(call: Call) -> dict[str, Any]:
    wanted = call.params.get("SnapshotIds") or ()
    for snapshot_id in wanted:
        owned_snapshot(call, snapshot_id)
    found = []
    for one in images_of(call).snapshots.values():
        if (one.account_id, one.region) != (call.account.id, call.region):
            continue
        if wanted and one.id not in wanted:
            continue
        settle(one, call.now)
        found.append(
            {
                "SnapshotId": one.id,
                "OwnerId": one.account_id,
                "State": one.state,
                "StateMessage": one.message,
                "Progress": "100%" if one.state == "completed" else "0%",
                "StartTime": one.started,
                "VolumeSize": one.size,
                "VolumeId": "vol-ffffffff",
                "Description": one.description,
                "Encrypted": one.encrypted,
                "StorageTier": "standard",
                "Tags": shown_tags(one.tags),
                **({"KmsKeyId": one.kms_key} if one.kms_key else {}),
            }
        )
    names = {"snapshot-id": "SnapshotId", "status": "State", "description": "Description"}
    return {"Snapshots": filtered(call, found, names | {"owner-id": "OwnerId"})}


def delete_snapshot(call: Call) -> dict[str, Any]:
    snapshot = owned_snapshot(call, call.params["SnapshotId"])
    for image in images_of(call).images.values():
        if snapshot.id in image.snapshots:
            raise AwsError(
                "InvalidSnapshot.InUse",
                f"The snapshot {snapshot.id} is currently in use by {image.id}",
            )
    snapshot.file.unlink(missing_ok=True)
    del images_of(call).snapshots[snapshot.id]
    return {}


def filtered(
    call: Call, found: list[dict[str, Any]], names: dict[str, str]
) -> list[dict[str, Any]]:
    """Those that pass the call's Filters; a filter that is not known is refused, as EC2 does."""
    for one in call.params.get("Filters") or ():
        name, values = one.get("Name", ""), one.get("Values") or ()
        if name.startswith("tag:"):
            key = name.removeprefix("tag:")
            found = [x for x in found if _any(dict(_pairs(x)).get(key), values)]
        elif name == "tag-key":
            found = [x for x in found if any(_any(key, values) for key, _ in _pairs(x))]
        elif name in names:
            found = [x for x in found if _any(str(x.get(names[name], "")), values)]
        else:
            raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return found


def _pairs(shown: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["Key"], one["Value"]) for one in shown["Tags"]]


def _any(value: str | None, patterns: Sequence[str]) -> bool:
    return value is not None and any(fnmatchcase(value, pattern) for pattern in patterns)


def shown_tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def launchable(call: Call, image_id: str, instance_type: str) -> Image:
    """The AMI, if an instance of that type can be started from it."""
    image = own_image(call, image_id)
    arm = bool(_ARM.match(instance_type))
    architecture = image.facts["Architecture"]
    if (architecture == "arm64") != arm:
        wanted = "arm64" if arm else "x86_64"
        raise AwsError(
            "InvalidParameterValue",
            f"The architecture '{wanted}' of the specified instance type does not match the architecture"
            f" '{architecture}' of the specified AMI. Specify an instance type and an AMI that have matching"
            " architectures, and try again.",
        )
    nitro = not _XEN.match(instance_type)
    if nitro and not image.facts.get("EnaSupport"):
        raise AwsError(
            "InvalidParameterCombination",
            f"Enhanced networking with the Elastic Network Adapter (ENA) is required for the '{instance_type}' instance"
            " type. Ensure that you are using an AMI that is enabled for ENA.",
        )
    if image.facts.get("BootMode") == "uefi" and not nitro:
        raise AwsError(
            "Unsupported",
            f"The instance type '{instance_type}' does not support the boot mode 'uefi' of the AMI.",
        )
    return image
