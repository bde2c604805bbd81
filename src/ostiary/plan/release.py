"""Let go of objects without deleting them: our mark comes off, everything else stays."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from ostiary.plan.change import Change, OnEvent, Plan
from ostiary.plan.executor import waves_of
from ostiary.plan.lease import TTL, Lease
from ostiary.plan.outcome import Outcome
from ostiary.plan.resource import Found, Kind
from ostiary.plan.running import WORKERS, Pace, run
from ostiary.plan.runs import RunStore
from ostiary.plan.wrap import Wrap


def release(
    plan: Plan,
    kinds: Sequence[Kind],
    *,
    store: RunStore,
    wrap: Wrap,
    on_event: OnEvent | None = None,
    workers: int = WORKERS,
    stop: threading.Event | None = None,
    lease_ttl: float = TTL,
) -> Outcome:
    """Release what ``plan`` would delete, under lease and journal, last kind first; ``restore`` undoes it.

    The guard is not asked: nobody loses a way in, and nothing is taken away.
    """
    deletions = tuple(one for one in plan.writes if one.action == "delete")
    plan = replace(plan, changes=deletions)
    if not deletions:
        return Outcome("", ())

    def let_go(kind: Kind, _change: Change, found: Found | None) -> None:
        if found is not None:
            kind.release(found)

    with Lease(store, plan.estate, ttl=lease_ttl) as lease:
        return run(
            plan,
            kinds,
            waves_of(plan, [kind.name for kind in kinds], canary=False),
            store=store,
            wrap=wrap,
            lease=lease,
            pace=Pace(workers=workers, stop=stop, on_event=on_event),
            facts={"releases": True},
            instead=let_go,
        )
