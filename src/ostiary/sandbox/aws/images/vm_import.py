"""ImportImage and ImportSnapshot: what VM Import refuses of a request before it makes a task of it.

Source: Amazon EC2 API Reference; VM Import/Export User Guide, "Required permissions" and "Troubleshooting". That of a bucket
elsewhere is as seen in cloud-api-adaptor #587; the words of the other refusals are unverified but for the role's.
"""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.aws import kms_keys, s3_objects
from ostiary.sandbox.aws.authorize import authorize
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images import judge, service_role
from ostiary.sandbox.aws.images.described import tags_at_creation
from ostiary.sandbox.aws.images.import_tasks import advance
from ostiary.sandbox.aws.images.shown_tasks import shown_image_task, shown_snapshot_task
from ostiary.sandbox.aws.images.snapshots import images_of
from ostiary.sandbox.aws.images.state import Task, place_of

MOST_TASKS = 20
MOST_DISKS = 21
_IMAGE_FORMATS = ("ova", "vmdk", "vhd", "vhdx", "raw")


def import_image(call: Call) -> dict[str, Any]:
    params = call.params
    role = params.get("RoleName") or "vmimport"
    known = _repeated(call, "image")
    if known is not None:
        return shown_image_task(known)
    containers = params.get("DiskContainers") or []
    if not containers:
        raise AwsError("MissingParameter", "The request must contain the parameter diskContainers")
    if params.get("LicenseType") and params.get("UsageOperation"):
        raise AwsError(
            "InvalidParameterCombination",
            "LicenseType and UsageOperation cannot be given together.",
        )
    if params.get("LicenseType") not in (None, "BYOL", "AWS"):
        raise AwsError("InvalidParameter", f"Invalid license type: {params['LicenseType']}")
    if params.get("BootMode") not in (None, "legacy-bios", "uefi"):
        raise AwsError("InvalidParameter", "uefi-preferred is not supported for importing images")
    if params.get("Architecture") not in (None, "x86_64", "i386"):
        raise AwsError("InvalidParameter", f"Invalid architecture: {params['Architecture']}")
    if len(containers) > MOST_DISKS:
        raise AwsError("InvalidParameter", f"More than {MOST_DISKS} disk containers are given")
    for one in containers:
        _check_format(one, _IMAGE_FORMATS)
    judge.needs("qemu-img", "debugfs", "sfdisk")
    _check_sources(call, containers, role)
    return shown_image_task(_new_task(call, "image"))


def import_snapshot(call: Call) -> dict[str, Any]:
    known = _repeated(call, "snapshot")
    if known is not None:
        return shown_snapshot_task(known)
    container = call.params.get("DiskContainer")
    if not container:
        raise AwsError("MissingParameter", "The request must contain the parameter diskContainer")
    _check_format(container, _IMAGE_FORMATS[1:])
    judge.needs("qemu-img")
    _check_sources(call, [container], call.params.get("RoleName") or "vmimport")
    return shown_snapshot_task(_new_task(call, "snapshot"))


def _check_format(container: dict[str, Any], known: tuple[str, ...]) -> None:
    form = container.get("Format", "")
    if form.lower() not in known:
        raise AwsError("InvalidParameter", f"Invalid disk container format: {form}")


def _repeated(call: Call, kind: str) -> Task | None:
    """The task of an earlier request with this token; another request with it is an error."""
    token = call.params.get("ClientToken")
    asked = {name: value for name, value in call.params.items() if name != "ClientToken"}
    for task in images_of(call).tasks.values():
        same = (task.token, task.account_id, task.region) == (token, call.account.id, call.region)
        if token and same:
            if task.kind != kind or task.asked != asked:
                raise AwsError(
                    "IdempotentParameterMismatch",
                    "The request uses the same client token as a previous, but non-identical request.",
                )
            return task
    return None


def _check_sources(call: Call, containers: list[dict[str, Any]], role: str) -> None:
    """Bucket, object, the caller's and the role's permissions, key and quota."""
    key_arn = _kms_key(call)
    for one in containers:
        bucket, key = place_of(one)
        found = s3_objects.stored_object(call, bucket, key) if bucket and key else None
        if found is None or found[0] != call.account.id:
            raise AwsError("InvalidParameter", "Invalid S3 source location")
        if found[1] != call.region:
            raise AwsError(
                "InvalidParameter",
                "The given S3 object is not local to the region. The object must be located in"
                f" {call.region}.",
            )
        _check_caller(call, bucket, key)
        service_role.check(call, role, bucket, key, key_arn)
    mine = [
        one
        for one in images_of(call).tasks.values()
        if (one.account_id, one.region) == (call.account.id, call.region)
    ]
    for task in mine:
        advance(call, task)
    if sum(one.status == "active" for one in mine) >= MOST_TASKS:
        raise AwsError("ResourceCountExceeded", "You have too many import tasks in progress.")


def _check_caller(call: Call, bucket: str, key: str) -> None:
    """Who asks for the import must be able to read the object as well. Words unverified."""
    arn = f"arn:{call.account.partition}:s3:::{bucket}"
    try:
        authorize(call, "s3:GetBucketLocation", arn, None)
        authorize(call, "s3:GetObject", f"{arn}/{key}", None)
    except AwsError as error:
        raise AwsError(
            "InvalidParameter", f"User does not have access to the S3 object.({bucket}/{key})"
        ) from error


def _kms_key(call: Call) -> str:
    if not call.params.get("KmsKeyId"):
        return ""
    if not call.params.get("Encrypted"):
        raise AwsError("InvalidParameterCombination", "KmsKeyId requires Encrypted.")
    arn = kms_keys.key_arn(call, call.params["KmsKeyId"])
    if arn is None:
        raise AwsError("InvalidParameter", f"Invalid KMS key: {call.params['KmsKeyId']}")
    return arn


def _new_task(call: Call, kind: str) -> Task:
    images = images_of(call)
    prefix = "import-ami" if kind == "image" else "import-snap"
    tags = tags_at_creation(call.params, f"import-{kind}-task")
    asked = {name: value for name, value in call.params.items() if name != "ClientToken"}
    task = Task(
        images.new_id(prefix),
        kind,
        call.account.id,
        call.region,
        asked,
        call.now,
        token=call.params.get("ClientToken", ""),
        tags=tags,
    )
    images.tasks[task.id] = task
    return task
