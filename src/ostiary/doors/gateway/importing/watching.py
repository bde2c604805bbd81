"""Waits for an import task: knows every end it can have, says the service's own words, gives up in bounded time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ostiary.aws.image_tasks import ImportTask
from ostiary.doors.gateway.image.problems import remedy_for
from ostiary.doors.gateway.importing.settings import OnStep, Step
from ostiary.errors import Conflict, Interrupted, NotFound, OstiaryError, Throttled, Unreachable

GOING_ON = frozenset({"active", "pending", "validating", "validated", "converting", "updating"})
GOING_ON |= {"preparing", "booting", ""}
FAILING = frozenset({"deleting", "deleted", "cancelling", "cancelled", "error"})
COMPLETED = "completed"
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: between looks (``first`` in the first minute), until a task that is not shown is given up (``unseen``), one
    that does not move (``still``), and a service that does not answer (``away``).
    """

    first: float = 1.0
    every: float = 5.0
    unseen: float = 120.0
    still: float = 3 * 3600.0
    completing: float = 300.0  # for a completed task to say what it made
    away: float = 1800.0  # without any answer: throttled, or no network


def watch(
    look: Callable[[], ImportTask | None],
    task_id: str,
    *,
    on_step: OnStep,
    stop: threading.Event,
    patience: Patience | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] | None = None,
) -> ImportTask:
    """The completed task. Conflict with the service's message and its remedy when it failed."""
    patience = patience or Patience()
    pause = sleep or stop.wait
    began = seen_at = moved_at = clock()
    before: tuple[object, ...] = ()
    while True:
        if stop.is_set():
            raise Interrupted(
                f"stopped watching {task_id}",
                why="it goes on at AWS",
                fix=f"run the same command again, or: ostiary gateway cancel {task_id}",
            )
        task, silence = _looked(look)
        now = clock()
        if task is None:
            if now - seen_at > (patience.away if silence else patience.unseen):
                raise _unseen(task_id, silence, now - seen_at)
        else:
            seen_at = now
            state = (task.status, task.message, task.progress)
            if state != before:
                before, moved_at = state, now
                on_step(_step(task))
            if ended := _ended(task, now - moved_at, patience):
                return ended
        pause(patience.first if clock() - began < MINUTE else patience.every)


def _looked(look: Callable[[], ImportTask | None]) -> tuple[ImportTask | None, str]:
    """The task and "", or None and why nothing was answered: an import of an hour outlives a bad minute."""
    try:
        return look(), ""
    except (Throttled, Unreachable) as silent:
        return None, str(silent)


def _unseen(task_id: str, silence: str, seconds: float) -> OstiaryError:
    what, fix = (
        f"cannot see import task {task_id}",
        "run the same command again: it begins no second task",
    )
    if silence:
        return Unreachable(what, why=f"no answer for {seconds:.0f} s: {silence}", fix=fix)
    return NotFound(what, why=f"the service has not shown it for {seconds:.0f} s", fix=fix)


def _ended(task: ImportTask, still: float, patience: Patience) -> ImportTask | None:
    """The task if it came to a good end, None while it goes on; everything else raises."""
    if task.status == COMPLETED:
        if task.image_id or (task.snapshot_ids and task.id.startswith("import-snap-")):
            return task
        if still > patience.completing:
            raise Unreachable(
                f"import task {task.id} completed without saying what it made",
                why="the service shows no AMI or snapshot of it",
                fix="run the same command again: what was made is found by its tags",
            )
        return None
    if task.status in FAILING:
        raise failed(task)
    if still > patience.still:
        raise Unreachable(
            f"import task {task.id} does not move",
            why=f"{task.status} {task.message} at {task.progress} % for {still:.0f} s",
            fix=f"wait and run the same command again, or: ostiary gateway cancel {task.id}",
        )
    return None


def failed(task: ImportTask) -> OstiaryError:
    """What a failed task means and what to do about it."""
    message = task.message or "the service gave no reason"
    remedy = remedy_for(message)
    return Conflict(
        f"import task {task.id} failed",
        why=f"{message.removesuffix('.')}; {remedy.cause}",
        fix=remedy.fix,
        code=message.partition(":")[0] if ":" in message else "",
    )


def _step(task: ImportTask) -> Step:
    words = task.message if task.message and task.status not in FAILING else task.status
    done = 100 if task.status == COMPLETED else max(0, task.progress)
    return Step(words, done, 100, "percent", task.id)
