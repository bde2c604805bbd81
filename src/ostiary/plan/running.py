"""One run under a held lease, from its first line in the journal to its last."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ostiary.errors import OstiaryError
from ostiary.plan.change import Change, OnEvent, Plan
from ostiary.plan.executor import Executor
from ostiary.plan.guard import Overrides, Verdict
from ostiary.plan.journal import Journal
from ostiary.plan.lease import Lease
from ostiary.plan.outcome import Outcome
from ostiary.plan.resource import Kind
from ostiary.plan.resume import end_name, journal_name, run_name
from ostiary.plan.runs import RunStore
from ostiary.plan.saved import to_json
from ostiary.plan.wrap import Wrap
from ostiary.plan.writing import Instead, Writer

WORKERS = 16


@dataclass(frozen=True, slots=True)
class Pace:
    """How a run goes: see ``apply``."""

    workers: int = WORKERS
    max_failures: int | None = None
    canary: bool = False
    stop: threading.Event | None = None
    on_event: OnEvent | None = None


def run(
    plan: Plan,
    kinds: Sequence[Kind],
    waves: Sequence[Sequence[Change]],
    *,
    store: RunStore,
    wrap: Wrap,
    lease: Lease,
    pace: Pace,
    facts: Mapping[str, object],
    instead: Instead | None = None,
) -> Outcome:
    """Execute ``waves`` of ``plan``. OstiaryError if even the beginning could not be written down."""
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.urandom(3).hex()}"  # sorts by time
    key = os.urandom(32)
    begin = {**_begin(plan, lease, wrap, key), **facts}
    stop = pace.stop or threading.Event()
    by_name = {kind.name: kind for kind in kinds}
    for change in plan.writes:
        expect = getattr(by_name[change.key.kind], "expect", None)  # see Expecting
        if expect:
            expect(change)
    with closing(Journal(store.log(journal_name(plan.estate, run_id)), run_id, key)) as journal:
        journal.begin(begin)
        store.put_new(run_name(plan.estate, run_id), json.dumps(begin).encode())
        executor = Executor(
            plan,
            Writer(by_name, journal, lease, stop, instead),
            stop,
            workers=pace.workers,
            max_failures=pace.max_failures,
            on_event=pace.on_event,
        )
        executor.run(waves, canary=pace.canary)
        outcome = Outcome(
            run_id,
            tuple(executor.results[change.key] for change in plan.writes),
            not_written(plan),
            plan.unread,
            executor.halted,
        )
        outcome = replace(outcome, interrupted=stop.is_set() and not outcome.converged)
        return _end(outcome, plan.estate, journal, store)


def not_written(plan: Plan) -> tuple[Change, ...]:
    """Changes that no run writes and that keep it from being complete; a snippet is only news."""
    return tuple(one for one in plan.changes if one.action in ("unread", "foreign"))


def overridden(overrides: Overrides, verdicts: Sequence[Verdict]) -> dict[str, object]:
    """What the journal keeps of the guard's judgement."""
    lines = [f"{one.rule}: {one.subject}: {one.why}" for one in verdicts]
    return {"overrides": overrides.as_json(), "guard": lines}


def _begin(plan: Plan, lease: Lease, wrap: Wrap, key: bytes) -> dict[str, object]:
    return {
        "estate": plan.estate,
        "plan": to_json(plan)["digest"],
        "changes": len(plan.writes),
        "user": lease.who.user,
        "host": lease.who.host,
        "pid": lease.who.pid,
        "lease": lease.token,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "key": base64.b64encode(wrap.wrap(key)).decode(),
    }


def _end(outcome: Outcome, estate: str, journal: Journal, store: RunStore) -> Outcome:
    """Without an end a run counts as unfinished: so it is when an outcome is unknown."""
    try:
        journal.end(outcome.counts())
        if not outcome.unknown:
            end = {"state": "finished", "counts": outcome.counts()}
            store.put_new(end_name(estate, outcome.run_id), json.dumps(end).encode())
    except OstiaryError as error:
        return replace(outcome, halted=outcome.halted or error)
    return outcome
