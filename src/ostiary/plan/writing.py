"""One change, from the last look to the outcome in the journal. Runs in a worker thread."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ostiary.errors import OstiaryError, StalePlan, Throttled, Unreachable
from ostiary.plan.change import Change, fingerprint
from ostiary.plan.journal import Journal
from ostiary.plan.lease import Lease
from ostiary.plan.outcome import Result
from ostiary.plan.refs import put
from ostiary.plan.resource import Found, Json, Key, Kind, Owner

ATTEMPTS = 3  # of a mutation whose answer was lost
PAUSE = 0.2  # seconds before the second attempt, doubled for the third

Wanted = Mapping[str, Json]
Instead = Callable[[Kind, Change, Found | None], None]  # done in place of what the action says


class Halt(Exception):
    """Nothing more may be written; ``error`` says why, ``result`` what became of the change at hand."""

    def __init__(self, error: OstiaryError, result: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.result = result


class Writer:
    """Writes changes through their kinds. ``instead`` restores or releases the object, whatever the action."""

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        journal: Journal,
        lease: Lease,
        stop: threading.Event,
        instead: Instead | None = None,
    ) -> None:
        self._kinds = kinds
        self._journal = journal
        self._lease = lease
        self._stop = stop
        self._instead = instead
        self._ids: dict[Key, Mapping[str, str]] = {}  # of what this run made

    def write(self, change: Change) -> Result:
        """Never raises an OstiaryError; Halt if the run must end."""
        try:
            return self._write(change)
        except StalePlan as error:
            return Result(change, "stale", str(error), error)
        except OstiaryError as error:
            return Result(change, "failed", str(error), error)

    def _write(self, change: Change) -> Result:
        kind = self._kinds[change.key.kind]
        wanted = self._resolved(change)
        if wanted is None:
            return Result(change, "blocked", "it needs an identifier that this plan does not make")
        found = None
        if change.action != "create" or self._instead is not None:
            found = kind.look(change.key)
            if self._is_as_wanted(change, found, wanted):
                self._learn(change, found)
                return Result(change, "done", "it already was so")
            if fingerprint(found) != change.fingerprint:
                return Result(change, "stale", "it changed after the plan was made")
        if self._stop.is_set():
            return Result(change, "left")
        self._permit(change, found)
        return self._attempt(kind, change, found, wanted)

    def _permit(self, change: Change, found: Found | None) -> None:
        """Write the intent down; the lease must hold right before the mutation."""
        try:
            self._lease.check()
            self._journal.intent(change, found.raw if found else None)
        except OstiaryError as error:
            raise Halt(error, "left") from error
        self._check(change, "left")

    def _check(self, change: Change, result: str) -> None:
        try:
            self._lease.check()
        except OstiaryError as error:
            self._journal.outcome(change.key, result, error=str(error))
            raise Halt(error, result) from error

    def _attempt(self, kind: Kind, change: Change, found: Found | None, wanted: Wanted) -> Result:
        try:
            result = self._mutate_and_look(kind, change, found, wanted)
        except OstiaryError as error:
            name = "stale" if isinstance(error, StalePlan) else "failed"
            self._journal.outcome(change.key, name, error=str(error))
            raise
        if result.result == "unknown":
            self._journal.outcome(change.key, "unknown", error=result.why)
        return result

    def _mutate_and_look(
        self, kind: Kind, change: Change, found: Found | None, wanted: Wanted
    ) -> Result:
        """After a lost answer look: done, or once more, or not to be known."""
        lost: OstiaryError | None = None
        for attempt in range(ATTEMPTS):
            try:
                return self._done(change, self._mutate(kind, change, found, wanted))
            except Unreachable as error:
                if not error.maybe_done:
                    raise
                lost = error
            self._stop.wait(PAUSE * 2**attempt)
            try:
                found = kind.look(change.key)
            except (Unreachable, Throttled):
                break
            if self._is_as_wanted(change, found, wanted):
                return self._done(change, found, "the answer was lost")
            if self._stop.is_set():
                break
            self._check(change, "unknown")
        return Result(change, "unknown", str(lost or ""), lost)

    def _mutate(
        self, kind: Kind, change: Change, found: Found | None, wanted: Wanted
    ) -> Found | None:
        if self._instead is not None:
            self._instead(kind, change, found)
            return kind.look(change.key)
        if change.action == "delete":
            if found is not None:
                kind.delete(found)
            return None
        if change.action == "create" and (found is None or found.owner is not Owner.OURS):
            return kind.create(change.key, wanted)  # which answers Conflict for a foreign object
        if found is None:
            raise StalePlan(f"cannot {change.action} {change.key}", why="it is gone")
        return kind.update(found, wanted)

    def _done(self, change: Change, found: Found | None, why: str = "") -> Result:
        self._learn(change, found)
        self._journal.outcome(change.key, "done", fingerprint=fingerprint(found))
        return Result(change, "done", why)

    def _learn(self, change: Change, found: Found | None) -> None:
        if found is not None:
            self._ids[change.key] = found.ids

    def _is_as_wanted(self, change: Change, found: Found | None, wanted: Wanted) -> bool:
        if self._instead is not None:  # knows no wanted attributes; doing it twice is harmless
            return False
        if change.action == "delete":
            return found is None
        kind = self._kinds[change.key.kind]
        ours = found is not None and found.owner is Owner.OURS
        return found is not None and ours and not kind.differences(found, wanted)

    def _resolved(self, change: Change) -> dict[str, Json] | None:
        """``after`` with the identifiers of what this run made; None if one is not known."""
        wanted: dict[str, Any] = copy.deepcopy(dict(change.after or {}))
        for pointer, ref in change.refs.items():
            if ref.key in self._ids:
                text = self._ids[ref.key].get(ref.attribute)
                if text is None:
                    return None
                put(wanted, pointer, text)
            elif _at(wanted, pointer) == str(ref):
                return None
        return wanted


def _at(value: Any, pointer: str) -> object:
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value[name]
    found: object = value
    return found
