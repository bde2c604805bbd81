"""Desired resources and readings make a plan. Reads only; the one writer is ``plan/apply.py``."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from graphlib import CycleError, TopologicalSorter
from typing import cast

from ostiary.errors import EstateError
from ostiary.plan.change import (
    ACTIONS,
    WRITES,
    Change,
    Event,
    OnEvent,
    Plan,
    Unread,
    canonical,
    fingerprint,
)
from ostiary.plan.comparing import Comparison
from ostiary.plan.reading import Readings, read_scopes
from ostiary.plan.refs import collect, shown
from ostiary.plan.resource import Key, Kind, Owner, Resource, Value
from ostiary.plan.saved import load, save, to_json

__all__ = [
    "ACTIONS",
    "WRITES",
    "Change",
    "Event",
    "OnEvent",
    "Plan",
    "Unread",
    "fingerprint",
    "load",
    "make_plan",
    "save",
    "to_json",
]


def make_plan(
    desired: Sequence[Resource],
    kinds: Sequence[Kind],
    scopes: Mapping[str, Iterable[str]],
    *,
    estate: str,
    workers: int = 16,
    on_event: OnEvent | None = None,
    warnings: Iterable[str] = (),
) -> Plan:
    """Read every kind in every scope of ``scopes`` (by kind name) and compare with ``desired``.

    The order of ``kinds`` is the order of creation. Scopes are read side by side, the kinds of one scope one
    after another in one thread. Raises EstateError with every duplicate key, cycle and dangling reference.
    """
    wanted = _indexed(desired, kinds)
    readings = read_scopes(wanted, kinds, scopes, workers=workers, on_event=on_event)
    order = _in_order(wanted, readings)
    comparison = Comparison({kind.name: kind for kind in kinds}, readings, wanted)
    compared = [comparison.compare(wanted[key]) for key in order]
    deletions = comparison.deletions(kinds)
    changes = _name_the_blocked([change for change in compared if change is not None])
    return Plan(
        estate=estate,
        estate_digest=_digest(desired),
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        scopes=readings.scopes,
        changes=(*changes, *deletions),
        keep=compared.count(None),
        unread=readings.unread,
        owned=comparison.owned(),
        warnings=tuple(warnings),
    )


def _indexed(desired: Sequence[Resource], kinds: Sequence[Kind]) -> dict[Key, Resource]:
    names = {kind.name for kind in kinds}
    counts = Counter(resource.key for resource in desired)
    problems = [f"{key} is wanted {count} times" for key, count in counts.items() if count > 1]
    problems += [f"{key} is of no known kind" for key in counts if key.kind not in names]
    if problems:
        raise EstateError("cannot plan: the wanted resources clash", problems=problems)
    return {resource.key: resource for resource in desired}


def dependencies(resource: Resource) -> frozenset[Key]:
    return resource.after | {ref.key for _, ref in collect(resource.wanted)}


def _in_order(wanted: Mapping[Key, Resource], readings: Readings) -> list[Key]:
    """Keys so that each comes after what it depends on; among equals as desired."""
    problems = []
    graph: dict[Key, list[Key]] = {}
    for key, resource in wanted.items():
        needs = dependencies(resource)
        graph[key] = [need for need in needs if need in wanted]
        for need in needs:
            found = readings.found.get(need)
            if need in wanted or (found is not None and found.owner is not Owner.OURS):
                continue
            if readings.is_complete(need):
                state = "is no longer wanted" if found else "neither is wanted nor exists"
                problems.append(f"{key} needs {need}, which {state}")
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        cycle = " -> ".join(str(key) for key in reversed(error.args[1]))
        problems.append(f"a cycle: {cycle}")
    if problems:
        raise EstateError(
            "cannot plan: the wanted resources do not hold together", problems=problems
        )
    return order


def _name_the_blocked(changes: list[Change]) -> list[Change]:
    """Say of each write which of its dependencies will keep it from being done. ``changes`` are in order."""
    stuck: dict[Key, str] = {}
    named = []
    for change in changes:
        cause = next((stuck[key] for key in change.depends_on if key in stuck), "")
        if not change.writes and change.action != "snippet":
            stuck[change.key] = f"{change.key} is {change.action}"
        elif cause:
            stuck[change.key] = cause
        named.append(change.because(f"blocked: {cause}") if cause else change)
    return named


def _digest(desired: Sequence[Resource]) -> str:
    """sha256 of everything wanted, whatever order it came in."""
    rows: dict[str, object] = defaultdict(list)
    for resource in desired:
        after = sorted(map(str, resource.after))
        wanted = shown(cast("Value", dict(resource.wanted)))
        rows[str(resource.key)] = [wanted, after, resource.adopt]
    return hashlib.sha256(canonical(rows).encode()).hexdigest()
