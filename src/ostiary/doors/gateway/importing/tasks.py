"""One import task for all runs and all operators: found by the record, else by its token, else begun."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ostiary.aws import image_tasks, machine_image
from ostiary.aws.image_tasks import ImportTask
from ostiary.aws.propagation import until_accepted
from ostiary.doors.gateway.importing import record as records
from ostiary.doors.gateway.importing.job import Job
from ostiary.doors.gateway.importing.record import Record
from ostiary.doors.gateway.importing.watching import COMPLETED, FAILING, watch
from ostiary.errors import Conflict, OstiaryError

MOST_ATTEMPTS = 20  # of others, that failed


def begun(
    job: Job, record: Record, begin: Callable[..., ImportTask], *, disk: int = 0, fresh_role: bool
) -> tuple[str, Record]:
    """The id of the task of a disk, written down. ``begin`` asks for one with a ``token``.

    What a token finds failed, and no run here began, was another operator's attempt: the next one is ours. With
    ``fresh_role`` the service is given time to see the role that was just written.
    """
    if disk < len(record.tasks) and _is_shown(job, record.tasks[disk]):
        return record.tasks[disk], record
    for _ in range(MOST_ATTEMPTS):
        task = until_accepted(
            job.reached.aws,
            partial(begin, token=record.token(disk)),
            lambda refused: fresh_role and _role_unseen(refused),
        )
        if task.status not in FAILING or task.id in record.tasks:
            break
        record = records.keep(job.reached.store, record, attempt=record.attempt + 1)
    tasks = (*record.tasks[:disk], task.id)
    return task.id, records.keep(job.reached.store, record, tasks=tasks)


def watched(job: Job, task_id: str) -> ImportTask:
    """The completed task. Everything else that can become of one raises: see ``watching.py``."""

    def look() -> ImportTask | None:
        task = image_tasks.describe(job.reached.aws, job.reached.region, task_id)
        if task is None or task.status != COMPLETED or task.image_id:
            return task
        if not task_id.startswith("import-ami-"):
            return task
        # VM Import names the AMI as the task, so it is found although the task does not tell it
        made = machine_image.named(job.reached.aws, job.reached.region, task_id)
        return replace(task, image_id=made[0].id) if made else task

    return watch(look, task_id, on_step=job.on_step, stop=job.stop, patience=job.patience)


def _is_shown(job: Job, task_id: str) -> bool:
    return image_tasks.describe(job.reached.aws, job.reached.region, task_id) is not None


def _role_unseen(refused: OstiaryError) -> bool:
    return isinstance(refused, Conflict) and "service role" in refused.why
