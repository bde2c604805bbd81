"""VM Import: ImportImage and ImportSnapshot, refused where the service refuses, and tasks that go through its states.

A task really reads what was uploaded (``judge.py``) when its time to be validated has come. Source: Amazon EC2 API Reference
and the VM Import/Export User Guide. The order and percentages of states are as seen in issues and posts: unverified.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images import judge, registry, service_role
from ostiary.sandbox.aws.images.judge import Converted, Refused
from ostiary.sandbox.aws.images.snapshots import images_of
from ostiary.sandbox.aws.images.state import BLOCK, GIB, Images, Snapshot, Task

MOST_TASKS = 20
GONE = 3.0  # seconds that a failed task is ``deleting``
# Share of the task's time from which on -> status, message, progress. Words as the service shows them.
STATES: tuple[tuple[float, str, str, int], ...] = (
    (0.0, "active", "pending", 2),
    (0.10, "active", "validating", 15),
    (0.20, "active", "validated", 19),
    (0.30, "active", "converting", 30),
    (0.50, "active", "updating", 45),
    (0.70, "active", "booting", 61),
    (0.85, "active", "preparing ami", 84),
    (1.00, "completed", "", 100),
)
_VALIDATING = 0.10


def import_image(call: Call) -> dict[str, Any]:
    params = call.params
    role = params.get("RoleName") or "vmimport"
    known = _repeated(call, "image")
    if known is not None:
        return _image_task(known)
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
    _check_sources(call, containers, role)
    return _image_task(_new_task(call, "image"))


def import_snapshot(call: Call) -> dict[str, Any]:
    known = _repeated(call, "snapshot")
    if known is not None:
        return _snapshot_task(known)
    container = call.params.get("DiskContainer")
    if not container:
        raise AwsError("MissingParameter", "The request must contain the parameter diskContainer")
    if container.get("Format", "").lower() not in ("vmdk", "vhd", "vhdx", "raw"):
        raise AwsError("InvalidParameter", f"Invalid disk format: {container.get('Format')}")
    _check_sources(call, [container], call.params.get("RoleName") or "vmimport")
    return _snapshot_task(_new_task(call, "snapshot"))


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
    """Tools, formats, bucket, object, role and key, in the order that the service looks at them."""
    judge.needs("qemu-img", "debugfs", "sfdisk")
    key_arn = _kms_key(call)
    for one in containers:
        bucket, key = _place(one)
        found = behind.stored_object(call, bucket, key)
        if found is None:
            raise AwsError("InvalidParameter", "Invalid S3 source location")
        owner, region, _ = found
        if owner != call.account.id:
            raise AwsError("InvalidParameter", "Invalid S3 source location")
        if region != call.region:
            raise AwsError("InvalidParameter", "The given S3 bucket is not local to the Region")
        service_role.check(call, role, bucket, key, key_arn)
    active = [
        one
        for one in images_of(call).tasks.values()
        if one.status == "active" and (one.account_id, one.region) == (call.account.id, call.region)
    ]
    if len(active) >= MOST_TASKS:
        raise AwsError("ResourceCountExceeded", "You have too many import tasks in progress.")


def _kms_key(call: Call) -> str:
    if not call.params.get("KmsKeyId"):
        return ""
    if not call.params.get("Encrypted"):
        raise AwsError("InvalidParameterCombination", "KmsKeyId requires Encrypted.")
    arn = behind.key_arn(call, call.params["KmsKeyId"])
    if arn is None:
        raise AwsError("InvalidParameter", f"Invalid KMS key: {call.params['KmsKeyId']}")
    return arn


def _place(container: dict[str, Any]) -> tuple[str, str]:
    if bucket := container.get("UserBucket"):
        return bucket.get("S3Bucket", ""), bucket.get("S3Key", "")
    url = container.get("Url", "")
    if url.startswith("s3://"):
        bucket, _, key = url.removeprefix("s3://").partition("/")
        return bucket, key
    raise AwsError("InvalidParameter", "Invalid S3 source location")


def _new_task(call: Call, kind: str) -> Task:
    images = images_of(call)
    prefix = "import-ami" if kind == "image" else "import-snap"
    tags = {
        tag["Key"]: tag.get("Value", "")
        for one in call.params.get("TagSpecifications") or ()
        for tag in one.get("Tags") or ()
    }
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


def own_task(call: Call, task_id: str) -> Task:
    task = images_of(call).tasks.get(task_id)
    if task is None or (task.account_id, task.region) != (call.account.id, call.region):
        raise AwsError(
            "InvalidConversionTaskId.Malformed", f"The import task ID ({task_id}) is not found"
        )
    return task


def describe_import_image_tasks(call: Call) -> dict[str, Any]:
    return {"ImportImageTasks": [_image_task(one) for one in _described(call, "image")]}


def describe_import_snapshot_tasks(call: Call) -> dict[str, Any]:
    return {"ImportSnapshotTasks": [_snapshot_task(one) for one in _described(call, "snapshot")]}


def _described(call: Call, kind: str) -> list[Task]:
    images = images_of(call)
    wanted = call.params.get("ImportTaskIds") or ()
    listed = [own_task(call, one) for one in wanted] if wanted else list(images.tasks.values())
    found = [
        one
        for one in listed
        if one.kind == kind and (one.account_id, one.region) == (call.account.id, call.region)
    ]
    for task in found:
        _advance(call, task)
    hidden = images.faults.silent_for
    return [one for one in found if call.now >= one.started + hidden or not hidden]


def cancel_import_task(call: Call) -> dict[str, Any]:
    task = own_task(call, call.params["ImportTaskId"])
    _advance(call, task)
    before = task.status
    if before != "active":
        raise AwsError(
            "InvalidConversionTaskId.State",
            f"The import task {task.id} is {before} and cannot be cancelled",
        )
    _fail(task, call.params.get("CancelReason") or "cancelled by user", call.now)
    return {"ImportTaskId": task.id, "PreviousState": before, "State": task.status}


def _advance(call: Call, task: Task) -> None:
    """Bring a task to where it is by now."""
    images = images_of(call)
    if task.status == "deleting" and call.now >= task.ended + GONE:
        task.status = "deleted"
    if task.status != "active":
        return
    share = (call.now - task.started) / images.pace if images.pace else 1.0
    if share < _VALIDATING:
        return
    if not task.judged:
        _judge(call, task)
    if images.faults.breaks:
        task.judged = images.faults.breaks
    if task.judged != "ok":
        _fail(task, task.judged, call.now)
        return
    _, status, message, progress = next(one for one in reversed(STATES) if share >= one[0])
    stuck = images.faults.stuck_at
    if stuck and progress >= stuck:
        task.message, task.progress = "converting", stuck
        return
    task.message, task.progress = message, progress
    if status == "completed":
        _complete(call, task, images)


def _fail(task: Task, message: str, now: float) -> None:
    task.status, task.message, task.ended, task.progress = "deleting", message, now, 0
    for _, file, _ in task.converted:
        file.unlink(missing_ok=True)
    task.converted.clear()


def _judge(call: Call, task: Task) -> None:
    images = images_of(call)
    folder = Path(tempfile.mkdtemp(dir=images.folder))
    try:
        converted = _converted(call, task, folder)
        if task.kind == "image":
            found = judge.judge_guest(converted[0])
            task.boot_mode = str(task.asked.get("BootMode") or found)
        for number, one in enumerate(converted):
            kept = images.folder / f"{task.id}-{number}.raw"
            shutil.move(one.file, kept)
            task.converted.append((one.format, kept, one.size))
        task.judged = "ok"
    except Refused as refused:
        task.judged = str(refused)
    finally:
        shutil.rmtree(folder)


def _converted(call: Call, task: Task, folder: Path) -> list[Converted]:
    containers = task.asked.get("DiskContainers") or [task.asked["DiskContainer"]]
    found: list[Converted] = []
    for number, one in enumerate(containers):
        stored = behind.stored_object(call, *_place(one))
        if stored is None:
            raise Refused("ClientError: Invalid S3 source location")
        path = folder / f"upload-{number}"
        with path.open("wb") as file:
            shutil.copyfileobj(stored[2], file)
        form = str(one.get("Format", "")).lower()
        if form == "ova":
            inner = folder / f"ova-{number}"
            inner.mkdir()
            found += judge.convert_ova(path, inner)
        else:
            found.append(judge.convert_disk(path, form, folder / f"{number}.raw"))
        path.unlink()
    return found


def _complete(call: Call, task: Task, images: Images) -> None:
    task.status, task.message, task.ended = "completed", "", call.now
    devices = []
    for number, (_, file, size) in enumerate(task.converted):
        snapshot = _snapshot(call, task, file, size)
        task.snapshot_ids.append(snapshot.id)
        device = "/dev/sda1" if number == 0 else f"/dev/sd{chr(ord('f') + number - 1)}"
        ebs = {"SnapshotId": snapshot.id, "VolumeSize": snapshot.size, "VolumeType": "gp2"}
        ebs |= {"DeleteOnTermination": True, "Encrypted": snapshot.encrypted}
        devices.append({"DeviceName": device, "Ebs": ebs})
    if task.kind == "image":
        facts: dict[str, Any] = {
            "Architecture": "x86_64",
            "VirtualizationType": "hvm",
            "RootDeviceName": "/dev/sda1",
            "BlockDeviceMappings": devices,
            "EnaSupport": True,
            "Description": f"AWS-VMImport service: Linux - {task.id}",
            "BootMode": task.boot_mode,
        }
        image_id = registry.keep(call, task.id, facts, {}).id
        task.image_id = "" if images.faults.no_image_id else image_id


def _snapshot(call: Call, task: Task, file: Path, size: int) -> Snapshot:
    """A completed snapshot of the converted bytes."""
    images = images_of(call)
    snapshot_id = images.new_id("snap")
    gib = max(1, -(-size // GIB))
    snapshot = Snapshot(
        snapshot_id,
        call.account.id,
        call.region,
        gib,
        images.folder / snapshot_id,
        call.now,
        state="completed",
        description=f"Created by AWS-VMImport service for {task.id}",
        encrypted=bool(task.asked.get("Encrypted")),
        kms_key=str(task.asked.get("KmsKeyId") or ""),
    )
    file.rename(snapshot.file)
    zeros = bytes(BLOCK)
    with snapshot.file.open("r+b") as raw:
        raw.truncate(gib * GIB)
        for index in range(-(-size // BLOCK)):
            data = raw.read(BLOCK)
            if data != zeros[: len(data)]:
                digest = hashlib.sha256(data.ljust(BLOCK, b"\0")).digest()
                snapshot.blocks[index] = base64.b64encode(digest).decode()
    images.snapshots[snapshot_id] = snapshot
    return snapshot


def _image_task(task: Task) -> dict[str, Any]:
    asked = task.asked
    answer: dict[str, Any] = {
        "ImportTaskId": task.id,
        "Status": task.status,
        "Architecture": "x86_64",
        "Description": asked.get("Description", ""),
        "LicenseType": asked.get("LicenseType") or "BYOL",
        "Platform": "Linux",
        "SnapshotDetails": _details(task),
        "Tags": registry.shown_tags(task.tags),
    }
    if task.message:
        answer["StatusMessage"] = task.message
    if task.status == "active":
        answer["Progress"] = str(task.progress)
    if task.status == "completed":
        if task.image_id:
            answer["ImageId"] = task.image_id
        if task.boot_mode:
            answer["BootMode"] = task.boot_mode
    if asked.get("Encrypted"):
        answer["Encrypted"] = True
    return answer


def _details(task: Task) -> list[dict[str, Any]]:
    containers = task.asked.get("DiskContainers") or []
    if not task.converted:
        return [{"UserBucket": one["UserBucket"]} for one in containers if "UserBucket" in one]
    devices = ["/dev/sda1", *(f"/dev/sd{chr(ord('f') + n)}" for n in range(20))]
    return [
        {
            "DeviceName": devices[number],
            "DiskImageSize": float(size),
            "Format": form,
            "Status": task.status,
            **({"SnapshotId": task.snapshot_ids[number]} if task.snapshot_ids else {}),
            **(
                {"UserBucket": containers[0]["UserBucket"]} if "UserBucket" in containers[0] else {}
            ),
        }
        for number, (form, _, size) in enumerate(task.converted)
    ]


def _snapshot_task(task: Task) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "Description": task.asked.get("Description", ""),
        "Format": str(task.asked["DiskContainer"].get("Format", "")).upper(),
        "Status": task.status,
    }
    if task.message:
        detail["StatusMessage"] = task.message
    if task.status == "active":
        detail["Progress"] = str(task.progress)
    if task.converted:
        detail["DiskImageSize"] = float(task.converted[0][2])
    if task.snapshot_ids:
        detail["SnapshotId"] = task.snapshot_ids[0]
    return {
        "ImportTaskId": task.id,
        "Description": task.asked.get("Description", ""),
        "SnapshotTaskDetail": detail,
        "Tags": registry.shown_tags(task.tags),
    }
