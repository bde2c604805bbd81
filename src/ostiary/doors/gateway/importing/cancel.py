"""Stops an import and removes what it left: task, upload, and what the task made that nobody was told of."""

from __future__ import annotations

from collections.abc import Iterator

from ostiary.aws import image_tasks, machine_image, multipart
from ostiary.aws.import_bucket import Bucket
from ostiary.connect_region import Reached
from ostiary.doors.gateway.importing import block_index
from ostiary.doors.gateway.importing import record as records
from ostiary.doors.gateway.importing.leftovers import started
from ostiary.doors.gateway.importing.record import Record
from ostiary.errors import Conflict, NotFound
from ostiary.plan.lease import Lease

REASON = "cancelled with ostiary gateway cancel"


def cancel(reached: Reached, named: str) -> list[str]:
    """What was removed, a line each. ``named`` is a task's id, or the file of an import as it was named.

    Conflict if the import has come to its end, LeaseHeld while a run is at it.
    """
    if named.startswith(("import-ami-", "import-snap-")):
        record = next((one for one in _here(reached) if named in one.tasks), None)
        if record is None:
            image_tasks.cancel(reached.aws, reached.region, named, REASON)
            return [f"task {named}"]
        if record.state == "done":
            raise Conflict(
                f"cannot cancel {named}",
                why=f"the import of {record.file} is done: it became {record.image_id}",
                fix="remove the AMI with its gateway: ostiary gateway destroy NAME --with-image",
            )
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
        lines = [*_tasks(reached, record), *_uploads(reached, record)]
        for snapshot_id in started(reached.store, record):
            lines += _snapshot(reached, snapshot_id)
        records.keep(reached.store, record, state="cancelled")
    return lines


def _tasks(reached: Reached, record: Record) -> Iterator[str]:
    aws, region = reached.aws, reached.region
    for task_id in record.tasks:
        try:
            image_tasks.cancel(aws, region, task_id, REASON)
            yield f"task {task_id}"
        except (NotFound, Conflict):
            ended = image_tasks.describe(aws, region, task_id)
            if ended is None:
                continue
            if ended.image_id:
                machine_image.remove(aws, region, machine_image.get(aws, region, ended.image_id))
                yield f"AMI {ended.image_id}"
            for snapshot_id in ended.snapshot_ids:
                yield from _snapshot(reached, snapshot_id)


def _uploads(reached: Reached, record: Record) -> Iterator[str]:
    bucket = Bucket(record.bucket, record.region, record.account_id)
    for key in record.objects:
        for one in multipart.uploads(reached.aws, bucket, key):
            one.abort()
            yield f"upload to {key}"
        if multipart.stored_object(reached.aws, bucket, key) is not None:
            multipart.delete_object(reached.aws, bucket, key)
            yield f"object {key}"


def _snapshot(reached: Reached, snapshot_id: str) -> Iterator[str]:
    try:
        gone = not machine_image.delete_snapshot(reached.aws, reached.region, snapshot_id)
    except Conflict:
        return  # an AMI uses it
    block_index.forget(reached.store, snapshot_id)
    if not gone:
        yield f"snapshot {snapshot_id}"
