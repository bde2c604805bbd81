"""Undo one run: every object that it changed goes back to its before-image, through the same guard and journal.

Works from any machine that reaches the run store and the wrapping key; so does undoing a restore.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ostiary.errors import Conflict
from ostiary.plan.change import Change, OnEvent, Plan, fingerprint
from ostiary.plan.executor import restore_waves
from ostiary.plan.guard import Guard
from ostiary.plan.journal import Recorded, Step
from ostiary.plan.lease import TTL, Lease
from ostiary.plan.outcome import Outcome
from ostiary.plan.resource import Found, GradesImages, Json, Key, Kind, Risk
from ostiary.plan.resume import show_run
from ostiary.plan.running import WORKERS, Pace, overridden, run
from ostiary.plan.runs import RunStore
from ostiary.plan.wrap import Wrap


@dataclass(frozen=True, slots=True)
class Restoration:
    """A plan that leads back, with the before-images (None: it did not exist). Show ``plan`` as any plan."""

    run_id: str
    plan: Plan
    images: Mapping[Key, Mapping[str, Json] | None] = field(repr=False)


def plan_restore(
    run_id: str,
    kinds: Sequence[Kind],
    *,
    estate: str,
    store: RunStore,
    wrap: Wrap,
    owned: Mapping[str, int] | None = None,
    even_changed: bool = False,
    workers: int = WORKERS,
) -> Restoration:
    """Compare the before-images of a run with the world of now; reads only.

    What somebody changed after the run is left alone and named in the plan's warnings, unless ``even_changed``.
    ``owned`` (of a fresh plan) is what the guard's caps are shares of; without it one deletion per kind passes.
    """
    recorded = show_run(store, estate, run_id)
    if not recorded.begin:
        why = "its journal has no beginning: it was killed before it did anything"
        raise Conflict(f"cannot restore run {run_id}", why=why)
    _check_kinds(recorded, {kind.name for kind in kinds})
    key = wrap.unwrap(base64.b64decode(recorded.begin["key"]))
    images = {step.key: recorded.before(step, key) for step in recorded.steps}
    by_name = {kind.name: kind for kind in kinds}
    with ThreadPoolExecutor(workers, thread_name_prefix="look") as pool:
        live = pool.map(lambda step: by_name[step.key.kind].look(step.key), recorded.steps)
        pairs = list(zip(recorded.steps, live, strict=True))
    pairs = [(step, found) for step, found in pairs if _raw(found) != images[step.key]]
    changed = {step.key for step, found in pairs if _changed_since(step, found)}
    changes = [
        _way_back(by_name[step.key.kind], step, found, images[step.key])
        for step, found in pairs
        if even_changed or step.key not in changed
    ]
    plan = Plan(
        estate=estate,
        estate_digest="",
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        scopes=tuple(sorted({step.key.scope for step in recorded.steps})),
        changes=tuple(changes),
        owned=owned or {},
        warnings=_warnings(recorded, sorted(changed), even_changed=even_changed),
    )
    return Restoration(run_id, plan, images)


def restore(
    restoration: Restoration,
    kinds: Sequence[Kind],
    *,
    store: RunStore,
    wrap: Wrap,
    guard: Guard,
    on_event: OnEvent | None = None,
    workers: int = WORKERS,
    stop: threading.Event | None = None,
    lease_ttl: float = TTL,
) -> Outcome:
    """Write the before-images back: first what the run took away, then, last kind first, what it made."""
    plan = restoration.plan
    verdicts = guard.require(plan)
    if not plan.writes:
        return Outcome("", ())

    def write_back(kind: Kind, change: Change, _found: Found | None) -> None:
        kind.restore(change.key, restoration.images[change.key])

    with Lease(store, plan.estate, ttl=lease_ttl) as lease:
        return run(
            plan,
            kinds,
            restore_waves(plan, [kind.name for kind in kinds]),
            store=store,
            wrap=wrap,
            lease=lease,
            pace=Pace(workers=workers, stop=stop, on_event=on_event),
            facts={"restores": restoration.run_id, **overridden(guard.overrides, verdicts)},
            instead=write_back,
        )


def _check_kinds(recorded: Recorded, known: Collection[str]) -> None:
    strange = sorted({step.key.kind for step in recorded.steps} - set(known))
    if strange:
        raise Conflict(
            f"cannot restore run {recorded.begin['run']}",
            why=f"it wrote objects of kind {', '.join(strange)}, of which this estate says nothing",
            fix="name the estate that it was applied from with --estate",
        )


def _raw(found: Found | None) -> Mapping[str, Json] | None:
    return found.raw if found else None


def _changed_since(step: Step, found: Found | None) -> bool:
    """Whether the object is not as the run left it, where that is known."""
    return step.result == "done" and fingerprint(found) != step.fingerprint


def _way_back(
    kind: Kind, step: Step, found: Found | None, image: Mapping[str, Json] | None
) -> Change:
    if image is None:
        action, risk = "delete", kind.risk("delete", found, None)
        detaches = kind.detaches("delete", found, None)
    elif found is None:
        action, risk, detaches = "create", Risk.NONE, 0
    elif isinstance(kind, GradesImages):
        action, (risk, detaches) = "update", kind.grade_image(found, image)
    else:  # what a before-image takes away is not known here: the strictest grade
        action, risk, detaches = "update", Risk.TRUST, 1
    raw = _raw(found)
    wanted = (image or {}).items()
    differing = [name for name, value in wanted if raw is None or raw.get(name) != value]
    return Change(
        action=action,
        key=step.key,
        before=raw,
        after=image,
        differing=tuple(differing),
        risk=risk,
        detaches=detaches,
        reason=f"{step.action}d by that run",
        fingerprint=fingerprint(found),
        owner=found.owner if found else None,
        protected=found.protected if found else False,
        adopts=not _changed_since(step, found),  # as the run left it: released, then taken back
    )


def _warnings(recorded: Recorded, changed: Iterable[Key], *, even_changed: bool) -> tuple[str, ...]:
    verb = "is overwritten" if even_changed else "is left as it is"
    lines = [f"{key} was changed after the run and {verb}" for key in changed]
    open_steps = [f"the outcome of {step.key} was never known" for step in recorded.unfinished]
    return (*lines, *open_steps)
