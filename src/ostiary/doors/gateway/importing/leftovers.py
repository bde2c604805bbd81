"""What an attempt that did not come to its end has left in AWS, as far as the run store knows."""

from __future__ import annotations

from ostiary.doors.gateway.importing.acknowledged import Acknowledged
from ostiary.doors.gateway.importing.record import Record
from ostiary.plan.runs import RunStore


def started(store: RunStore, record: Record) -> tuple[str, ...]:
    """Every snapshot of the attempt: those that were written down whole, and those that were taking blocks."""
    found = list(record.snapshots)
    if record.route != "ebs-direct":
        return tuple(found)
    for disk in range(len(found) + 1):  # one disk after another: at most one is under way
        log = store.log(record.log(disk))
        snapshot_id = Acknowledged.read(log).snapshot_id
        log.close()
        if snapshot_id:
            found.append(snapshot_id)
    return tuple(dict.fromkeys(found))
