"""The one writer. ``apply`` asks the guard, takes the lease, keeps the journal and does what the plan says."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ostiary.errors import OstiaryError, StalePlan
from ostiary.plan.change import Change, OnEvent, Plan, fingerprint
from ostiary.plan.executor import waves_of
from ostiary.plan.guard import Guard
from ostiary.plan.lease import TTL, Lease, refuse_held
from ostiary.plan.outcome import Outcome, Result
from ostiary.plan.resource import Kind
from ostiary.plan.resume import settle
from ostiary.plan.running import WORKERS, Pace, not_written, overridden, run
from ostiary.plan.runs import RunStore
from ostiary.plan.wrap import Wrap

__all__ = ["Outcome", "Result", "apply"]


def apply(
    plan: Plan,
    kinds: Sequence[Kind],
    *,
    store: RunStore,
    wrap: Wrap,
    guard: Guard,
    on_event: OnEvent | None = None,
    workers: int = WORKERS,
    all_or_nothing: bool = False,
    stop: threading.Event | None = None,
    max_failures: int | None = None,
    canary: bool = False,
    lease_ttl: float = TTL,
) -> Outcome:
    """Do what ``plan`` says; the outcome says what became of each change (``Outcome.raise_for_result``).

    ``stop`` set: nothing new begins, what is in flight finishes. ``max_failures``: stop when so many accounts or orgs
    have failed. ``canary``: one account first, the rest only if it went well. ``all_or_nothing``: refuse before the
    first write if any object changed, is foreign or was not read. ``on_event`` is called from this thread only.
    Raises GuardTripped, LeaseHeld, StalePlan before the first write.
    """
    refuse_held(store, plan.estate)
    verdicts = guard.require(plan)
    if not plan.writes:
        settle(store, plan, by="an empty plan")
        return Outcome("", (), not_written(plan), plan.unread)
    waves = waves_of(plan, [kind.name for kind in kinds], canary=canary)
    with Lease(store, plan.estate, ttl=lease_ttl) as lease:
        if all_or_nothing:
            _check_all(plan, kinds, workers)
        outcome = run(
            plan,
            kinds,
            waves,
            store=store,
            wrap=wrap,
            lease=lease,
            pace=Pace(workers, max_failures, canary, stop, on_event),
            facts=overridden(guard.overrides, verdicts),
        )
        if outcome.converged and outcome.halted is None:
            settle(store, plan, by=outcome.run_id)
    return outcome


def _check_all(plan: Plan, kinds: Sequence[Kind], workers: int) -> None:
    by_name = {kind.name: kind for kind in kinds}

    def problem(change: Change) -> str:
        if not change.writes:
            return "" if change.action == "snippet" else f"{change.key}: {change.action}"
        try:
            found = by_name[change.key.kind].look(change.key)
        except OstiaryError as error:
            return f"{change.key}: {error}"
        return "" if fingerprint(found) == change.fingerprint else f"{change.key}: it changed"

    with ThreadPoolExecutor(workers, thread_name_prefix="check") as pool:
        problems = [text for text in pool.map(problem, plan.changes) if text]
    problems += [f"{one.scope}: unread: {one.why}" for one in plan.unread]
    if problems:
        raise StalePlan(
            "nothing was written: not all of the plan can be done",
            why="\n".join(problems),
            fix="run: ostiary plan, or apply without --all-or-nothing",
        )
