"""Tasks of VM Import, which go through the service's states by the world's clock.

A task really reads what was uploaded (``conversion.py``) when its time to be validated has come. Source: Amazon EC2 API Reference
and the VM Import/Export User Guide. The order and percentages of states are as seen in issues and posts: unverified.
"""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images.conversion import complete, judge
from ostiary.sandbox.aws.images.described import filtered
from ostiary.sandbox.aws.images.shown_tasks import shown_image_task, shown_snapshot_task
from ostiary.sandbox.aws.images.snapshots import images_of
from ostiary.sandbox.aws.images.state import Task

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
# A snapshot is not a system: nothing in it is updated or started.
_OF_IMAGES = ("updating", "booting", "preparing ami")


def own_task(call: Call, task_id: str) -> Task:
    task = images_of(call).tasks.get(task_id)
    if task is None or (task.account_id, task.region) != (call.account.id, call.region):
        raise AwsError(
            "InvalidConversionTaskId.Malformed", f"The import task ID ({task_id}) is not found"
        )
    return task


def describe_import_image_tasks(call: Call) -> dict[str, Any]:
    shown = [shown_image_task(one) for one in _described(call, "image")]
    return {"ImportImageTasks": filtered(call, shown, {"task-state": "Status"})}


def describe_import_snapshot_tasks(call: Call) -> dict[str, Any]:
    found = _described(call, "snapshot")
    return {"ImportSnapshotTasks": [shown_snapshot_task(one) for one in found]}


def _described(call: Call, kind: str) -> list[Task]:
    images = images_of(call)
    wanted = call.params.get("ImportTaskIds") or ()
    hidden = images.faults.silent_for
    listed = [own_task(call, one) for one in wanted] if wanted else list(images.tasks.values())
    found = [
        one
        for one in listed
        if one.kind == kind and (one.account_id, one.region) == (call.account.id, call.region)
    ]
    for task in found:
        advance(call, task)
    return [one for one in found if call.now >= one.started + hidden]


def cancel_import_task(call: Call) -> dict[str, Any]:
    if "ImportTaskId" not in call.params:  # the model requires it of nobody
        raise AwsError("MissingParameter", "The request must contain the parameter ImportTaskId")
    task = own_task(call, call.params["ImportTaskId"])
    advance(call, task)
    before = task.status
    if before != "active":
        raise AwsError(
            "InvalidConversionTaskId.State",
            f"The import task {task.id} is {before} and cannot be cancelled",
        )
    _fail(task, call.params.get("CancelReason") or "cancelled by user", call.now)
    return {"ImportTaskId": task.id, "PreviousState": before, "State": task.status}


def advance(call: Call, task: Task) -> None:
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
        judge(call, task)
    if images.faults.breaks:
        task.judged = images.faults.breaks
    if task.judged != "ok":
        _fail(task, task.judged, call.now)
        return
    _, status, message, progress = next(
        one
        for one in reversed(STATES)
        if share >= one[0] and (task.kind == "image" or one[2] not in _OF_IMAGES)
    )
    stuck = images.faults.stuck_at
    if stuck and progress >= stuck:
        task.message, task.progress = "converting", stuck
        return
    task.message, task.progress = message, progress
    if status == "completed":
        complete(call, task)


def _fail(task: Task, message: str, now: float) -> None:
    task.status, task.message, task.ended, task.progress = "deleting", message, now, 0
    for disk in task.converted:
        disk.file.unlink(missing_ok=True)
    task.converted.clear()
