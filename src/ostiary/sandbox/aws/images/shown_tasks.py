"""Import tasks as DescribeImportImageTasks and DescribeImportSnapshotTasks show them.

Source: Amazon EC2 API Reference. ``DiskImageSize`` is the size of the disk's file, as in the User Guide's example.
"""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.aws.images.described import shown_tags
from ostiary.sandbox.aws.images.state import Task, device_of


def shown_image_task(task: Task) -> dict[str, Any]:
    asked = task.asked
    answer: dict[str, Any] = {
        "ImportTaskId": task.id,
        "Status": task.status,
        "Architecture": "x86_64",
        "Description": asked.get("Description", ""),
        "LicenseType": asked.get("LicenseType") or "BYOL",
        "Platform": "Linux",
        "SnapshotDetails": _details(task),
        "Tags": shown_tags(task.tags),
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
    return [
        {
            "DeviceName": device_of(number),
            "DiskImageSize": float(disk.stored),
            "Format": disk.format,
            "Status": "completed" if task.snapshot_ids else task.status,
            **({"SnapshotId": task.snapshot_ids[number]} if task.snapshot_ids else {}),
            **(
                {"UserBucket": containers[0]["UserBucket"]} if "UserBucket" in containers[0] else {}
            ),
        }
        for number, disk in enumerate(task.converted)
    ]


def shown_snapshot_task(task: Task) -> dict[str, Any]:
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
        detail["DiskImageSize"] = float(task.converted[0].stored)
    if task.snapshot_ids:
        detail["SnapshotId"] = task.snapshot_ids[0]
    return {
        "ImportTaskId": task.id,
        "Description": task.asked.get("Description", ""),
        "SnapshotTaskDetail": detail,
        "Tags": shown_tags(task.tags),
    }
