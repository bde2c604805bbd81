"""Reading the world: every kind in every scope, scopes side by side."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ostiary.errors import OstiaryError
from ostiary.plan.change import Event, OnEvent, Unread
from ostiary.plan.resource import Found, Key, Kind, Reading, Resource


@dataclass(frozen=True, slots=True)
class Readings:
    """What was seen. A (kind, scope) that is not in ``incomplete`` nor in ``complete`` was not asked for."""

    found: Mapping[Key, Found]
    complete: frozenset[tuple[str, str]]
    incomplete: Mapping[tuple[str, str], OstiaryError]
    scopes: tuple[str, ...]

    def is_complete(self, key: Key) -> bool:
        return (key.kind, key.scope) in self.complete

    def why(self, key: Key) -> str:
        """Why ``key``'s reading cannot be relied on."""
        error = self.incomplete.get((key.kind, key.scope))
        return f"could not be read: {error}" if error else "its scope was not read"

    @property
    def unread(self) -> tuple[Unread, ...]:
        """Scopes with an incomplete reading, one line per scope and cause."""
        kinds: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for (kind, scope), error in self.incomplete.items():
            kinds[scope, str(error), error.fix].append(kind)
        rows = sorted(kinds.items())
        return tuple(Unread(scope, tuple(names), why, fix) for (scope, why, fix), names in rows)


def read_scopes(
    wanted: Mapping[Key, Resource],
    kinds: Sequence[Kind],
    scopes: Mapping[str, Iterable[str]],
    *,
    workers: int,
    on_event: OnEvent | None,
) -> Readings:
    """One worker reads a scope's kinds one after another, so that an adapter may share one answer among them."""
    names: dict[tuple[str, str], dict[str, Resource]] = defaultdict(dict)
    for key, resource in wanted.items():
        names[key.kind, key.scope][key.name] = resource
    by_scope: dict[str, list[Kind]] = defaultdict(list)
    for kind in kinds:
        for scope in scopes.get(kind.name, ()):
            by_scope[scope].append(kind)
    progress = _Progress(on_event, len(by_scope))

    def read(item: tuple[str, list[Kind]]) -> list[Reading]:
        scope, its_kinds = item
        readings = [_read(kind, scope, names.get((kind.name, scope), {})) for kind in its_kinds]
        progress.tell(scope, readings)
        return readings

    pool = ThreadPoolExecutor(max(1, min(workers, len(by_scope))), thread_name_prefix="read")
    try:
        readings = [reading for some in pool.map(read, by_scope.items()) for reading in some]
    finally:
        pool.shutdown(cancel_futures=True)
    return _joined(readings, tuple(sorted(by_scope)))


def _read(kind: Kind, scope: str, wanted: Mapping[str, Resource]) -> Reading:
    try:
        return kind.read(scope, wanted)
    except OstiaryError as error:
        return Reading(kind.name, scope, complete=False, why=error)


def _joined(readings: Iterable[Reading], scopes: tuple[str, ...]) -> Readings:
    found: dict[Key, Found] = {}
    complete = set()
    incomplete = {}
    for reading in readings:
        found.update((one.key, one) for one in reading.found)
        if reading.complete:
            complete.add((reading.kind, reading.scope))
        else:
            why = reading.why or OstiaryError("the reading was cut short")
            incomplete[reading.kind, reading.scope] = why
    return Readings(found, frozenset(complete), incomplete, scopes)


class _Progress:
    def __init__(self, on_event: OnEvent | None, total: int) -> None:
        self._on_event = on_event
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def tell(self, scope: str, readings: Sequence[Reading]) -> None:
        if self._on_event is None:
            return
        cut = next((reading for reading in readings if not reading.complete), None)
        with self._lock:
            self._done += 1
            what, text = ("unread", str(cut.why or "")) if cut else ("read", "")
            self._on_event(Event(what, scope, text=text, done=self._done, total=self._total))
