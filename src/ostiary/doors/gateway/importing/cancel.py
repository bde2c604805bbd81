"""Stops an import and removes what it left: task, upload, snapshots that no AMI uses."""

from __future__ import annotations

from ostiary.aws import image_tasks, machine_image, multipart
from ostiary.aws.import_bucket import Bucket
from ostiary.connect import Reached
from ostiary.doors.gateway.importing import block_index
from ostiary.doors.gateway.importing import record as records
from ostiary.doors.gateway.importing.record import Record
from ostiary.errors import Conflict, NotFound
from ostiary.plan.lease import Lease

REASON = "cancelled with ostiary gateway cancel"


def cancel(reached: Reached, named: str) -> list[str]:
    """What was removed, a line each. ``named`` is a task's id, or the file of an import as it was named."""
    if named.startswith(("import-ami-", "import-snap-")):
        record = next((one for one in _here(reached) if named in one.tasks), None)
        if record is None:
            image_tasks.cancel(reached.aws, reached.region, named, REASON)
            return [f"task {named}"]
        return _undone(reached, record)
    found = [one for one in _here(reached) if one.file == named and one.state != "done"]
    if not found:
        raise NotFound(
            f"no import of {named} is under way in {reached.region}",
            why="no record of one is kept here",
            fix="name the task, as the import printed it: import-ami-…",
        )
    return [line for record in found for line in _undone(reached, record)]


def _here(reached: Reached) -> list[Record]:
    place = (reached.account_id, reached.region)
    return [one for one in records.every(reached.store) if (one.account_id, one.region) == place]


def _undone(reached: Reached, record: Record) -> list[str]:
    with Lease(reached.store, f"gateway-import-{record.key[:16]}"):
        lines = []
        for task_id in record.tasks:
            try:
                image_tasks.cancel(reached.aws, reached.region, task_id, REASON)
                lines.append(f"task {task_id}")
            except (NotFound, Conflict):
                continue  # ended by itself
        bucket = Bucket(record.bucket, record.region, record.account_id)
        for key in record.objects:
            for one in multipart.uploads(reached.aws, bucket, key):
                one.abort()
                lines.append(f"upload to {key}")
            if multipart.stored_object(reached.aws, bucket, key) is not None:
                multipart.delete_object(reached.aws, bucket, key)
                lines.append(f"object {key}")
        for snapshot_id in record.snapshots:
            try:
                machine_image.delete_snapshot(reached.aws, reached.region, snapshot_id)
            except Conflict:
                continue  # an AMI uses it
            block_index.forget(reached.store, snapshot_id)
            lines.append(f"snapshot {snapshot_id}")
        records.keep(reached.store, record, state="cancelled")
    return lines
