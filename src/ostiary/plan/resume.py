"""Which runs there were, and which ended in the open.

A killed run needs nothing undone: the next one plans again, finds by name and mark what is there, and goes on. Its
intents without outcome are settled when a later run of the estate has brought everything in line.

    <estate>/runs/<run>       what began: the journal's first record
    <estate>/journals/<run>   the journal
    <estate>/ends/<run>       how it ended; absent: unfinished
    <estate>/lease
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ostiary.errors import Conflict, NotFound
from ostiary.plan.change import Plan
from ostiary.plan.journal import Recorded, read_journal
from ostiary.plan.lease import holder_token
from ostiary.plan.resource import Key
from ostiary.plan.runs import RunStore

LAST_RUNS = 50


@dataclass(frozen=True, slots=True)
class RunSummary:
    """``state``: finished · running · unfinished · settled (unfinished, made good by the run ``by``)."""

    run_id: str
    state: str
    user: str
    host: str
    started: str
    changes: int
    counts: dict[str, int]
    by: str = ""


def run_name(estate: str, run_id: str) -> str:
    return f"{estate}/runs/{run_id}"


def journal_name(estate: str, run_id: str) -> str:
    return f"{estate}/journals/{run_id}"


def end_name(estate: str, run_id: str) -> str:
    return f"{estate}/ends/{run_id}"


def list_runs(store: RunStore, estate: str) -> tuple[RunSummary, ...]:
    """All runs of an estate, oldest first."""
    token = holder_token(store, estate)
    names = store.names(f"{estate}/runs/")
    return tuple(_summary(store, estate, name.rpartition("/")[2], token) for name in names)


def show_run(store: RunStore, estate: str, run_id: str) -> Recorded:
    """The whole journal of a run. NotFound, or Conflict if it was damaged."""
    data = store.log(journal_name(estate, run_id)).read()
    if not data:
        raise NotFound(f"no run {run_id} of estate {estate}", fix="run: ostiary runs")
    return read_journal(run_id, data)


def unfinished(store: RunStore, estate: str) -> tuple[str, ...]:
    """Ids of runs that began and have no end, whoever may be working on them now."""
    begun = (name.rpartition("/")[2] for name in store.names(f"{estate}/runs/"))
    ended = {name.rpartition("/")[2] for name in store.names(f"{estate}/ends/")}
    return tuple(run_id for run_id in begun if run_id not in ended)


def written_by(
    store: RunStore, estate: str, *, last: int = LAST_RUNS
) -> dict[Key, tuple[str, str]]:
    """Which of the last runs wrote each object last, and what it did (create, update, delete).

    For drift to say that something of ours was taken away; a damaged journal says nothing.
    """
    written: dict[Key, tuple[str, str]] = {}
    for name in store.names(f"{estate}/runs/")[-last:]:
        run_id = name.rpartition("/")[2]
        try:
            steps = show_run(store, estate, run_id).steps
        except (Conflict, NotFound):
            continue
        written |= {step.key: (run_id, step.action) for step in steps if step.result == "done"}
    return written


def settle(store: RunStore, plan: Plan, *, by: str) -> tuple[str, ...]:
    """Mark as settled the unfinished runs whose open intents all lie where ``plan`` could look; their ids.

    To be called when everything ``plan`` says is done, and no other run holds the lease.
    """
    unread = {one.scope for one in plan.unread}
    looked = set(plan.scopes) - unread
    settled = []
    for run_id in unfinished(store, plan.estate):
        try:
            steps = show_run(store, plan.estate, run_id).unfinished
        except Conflict:  # damaged: what was open is not known, so it stays listed as unfinished
            continue
        if all(step.key.scope in looked for step in steps):
            end = {"state": "settled", "by": by, "counts": {}}
            store.put_new(end_name(plan.estate, run_id), json.dumps(end).encode())
            settled.append(run_id)
    return tuple(settled)


def _summary(store: RunStore, estate: str, run_id: str, token: str) -> RunSummary:
    begin = _object(store, run_name(estate, run_id))
    end = _object(store, end_name(estate, run_id))
    running = "running" if token and token == begin.get("lease") else "unfinished"
    return RunSummary(
        run_id,
        end.get("state", running),
        begin.get("user", ""),
        begin.get("host", ""),
        begin.get("started", ""),
        begin.get("changes", 0),
        end.get("counts", {}),
        end.get("by", ""),
    )


def _object(store: RunStore, name: str) -> dict[str, Any]:
    kept = store.get(name)
    row: dict[str, Any] = json.loads(kept.data) if kept else {}
    return row
