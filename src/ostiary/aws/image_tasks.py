"""Import tasks of VM Import: begun once for a token, described, cancelled. Source: Amazon EC2 API Reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ostiary.aws.import_bucket import Bucket
from ostiary.aws.session import Aws
from ostiary.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class ImportTask:
    """A task as the service shows it. ``progress`` is a percentage, -1 when it shows none."""

    id: str
    status: str
    message: str
    progress: int
    image_id: str
    snapshot_ids: tuple[str, ...]


def import_image(
    aws: Aws,
    bucket: Bucket,
    key: str,
    *,
    token: str,
    description: str,
    boot_mode: str,
    kms_key: str,
    tags: Mapping[str, str],
) -> ImportTask:
    """Begin to import an OVA; with a known ``token`` the task of the earlier request."""
    more: dict[str, Any] = {"BootMode": boot_mode} if boot_mode else {}
    if kms_key:
        more |= {"Encrypted": True, "KmsKeyId": kms_key}
    answer = aws.call(
        "ec2",
        "import_image",
        region=bucket.region,
        repeatable=True,
        ClientToken=token,
        Description=description,
        LicenseType="BYOL",
        Architecture="x86_64",
        DiskContainers=[
            {
                "Description": description,
                "Format": "ova",
                "UserBucket": {"S3Bucket": bucket.name, "S3Key": key},
            }
        ],
        TagSpecifications=[_tags("import-image-task", tags)],
        **more,
    )
    return _image_task(answer)


def import_snapshot(
    aws: Aws,
    bucket: Bucket,
    key: str,
    *,
    token: str,
    description: str,
    kms_key: str,
    tags: Mapping[str, str],
) -> ImportTask:
    """Begin to import one VMDK as a snapshot."""
    more: dict[str, Any] = {"Encrypted": True, "KmsKeyId": kms_key} if kms_key else {}
    answer = aws.call(
        "ec2",
        "import_snapshot",
        region=bucket.region,
        repeatable=True,
        ClientToken=token,
        Description=description,
        DiskContainer={
            "Description": description,
            "Format": "VMDK",
            "UserBucket": {"S3Bucket": bucket.name, "S3Key": key},
        },
        TagSpecifications=[_tags("import-snapshot-task", tags)],
        **more,
    )
    return _snapshot_task(answer)


def describe(aws: Aws, region: str, task_id: str) -> ImportTask | None:
    """The task as it is now; None when the service does not show it (yet)."""
    image = task_id.startswith("import-ami-")
    operation = "describe_import_image_tasks" if image else "describe_import_snapshot_tasks"
    try:
        answer = aws.call("ec2", operation, region=region, ImportTaskIds=[task_id])
    except (NotFound, Conflict) as absent:
        if isinstance(absent, Conflict) and "TaskId" not in absent.code:
            raise
        return None
    listed = answer["ImportImageTasks" if image else "ImportSnapshotTasks"]
    if not listed:
        return None
    return _image_task(listed[0]) if image else _snapshot_task(listed[0])


def cancel(aws: Aws, region: str, task_id: str, reason: str) -> None:
    """Stop a task. Conflict if it has ended."""
    aws.call(
        "ec2",
        "cancel_import_task",
        region=region,
        repeatable=True,
        ImportTaskId=task_id,
        CancelReason=reason,
    )


def _image_task(one: Mapping[str, Any]) -> ImportTask:
    details = one.get("SnapshotDetails") or ()
    return ImportTask(
        one["ImportTaskId"],
        str(one.get("Status", "")),
        str(one.get("StatusMessage", "")),
        _percent(one.get("Progress")),
        str(one.get("ImageId", "")),
        tuple(detail["SnapshotId"] for detail in details if detail.get("SnapshotId")),
    )


def _snapshot_task(one: Mapping[str, Any]) -> ImportTask:
    detail = one.get("SnapshotTaskDetail") or {}
    snapshot = str(detail.get("SnapshotId", ""))
    return ImportTask(
        one["ImportTaskId"],
        str(detail.get("Status", "")),
        str(detail.get("StatusMessage", "")),
        _percent(detail.get("Progress")),
        "",
        (snapshot,) if snapshot else (),
    )


def _percent(text: Any) -> int:
    return int(text) if str(text).isdigit() else -1


def _tags(kind: str, tags: Mapping[str, str]) -> dict[str, Any]:
    listed = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
    return {"ResourceType": kind, "Tags": listed}
