"""How old our knowledge of the org is. What is too old gives nobody a certificate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import select

from ostiary.doors.servers.control.database import Database, translated
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.tables import cursors

LATE = 60.0  # seconds of age after which the status shows a problem
STALE = 300.0  # after which nobody of the org gets a certificate
LOOK_EVERY = 1.0  # seconds between two looks into the database


class Freshness(Protocol):
    """Says until when (seconds since the epoch) every change in the org is known; 0.0 for never."""

    def read_at(self) -> float: ...

    def problems(self, now: float) -> tuple[str, ...]: ...


def known_until(freshness: Freshness, person: Person) -> float:
    """Until when what is known of ``person`` is true: by the org's log, or by what was read of them alone."""
    return max(freshness.read_at(), person.read)


@dataclass(frozen=True, slots=True)
class OrgState:
    """What the status shows of the reading: when its end was last reached, and seconds between readings."""

    read: float
    interval: float


class OrgFreshness:
    """Freshness of an org whose System Log some process on this database reads. Threads may share it."""

    def __init__(
        self, database: Database, org: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._org = org
        self._clock = clock
        self._state = OrgState(0.0, 0.0)
        self._looked = float("-inf")
        self._lock = threading.Lock()

    def read_at(self) -> float:
        return self.state().read

    def state(self) -> OrgState:
        with self._lock:
            if self._clock() - self._looked >= LOOK_EVERY:
                self._state = self._look()
                self._looked = self._clock()
            return self._state

    def _look(self) -> OrgState:
        with translated("cannot see how fresh the org is"), self._database.reading() as connection:
            row = connection.execute(
                select(cursors.c.read, cursors.c.interval).where(cursors.c.org == self._org)
            ).one_or_none()
        return OrgState(row.read, row.interval) if row else OrgState(0.0, 0.0)

    def problems(self, now: float) -> tuple[str, ...]:
        """What the status says of a log that was read long ago, or never."""
        return problems(self.state(), now)


class NoLog:
    """Freshness of an org without a log to read: each person is asked for alone (``refresh.py``)."""

    def read_at(self) -> float:
        return 0.0

    def problems(self, _: float) -> tuple[str, ...]:
        return ()


def problems(state: OrgState, now: float) -> tuple[str, ...]:
    if not state.read:
        return ("the org's System Log was never read: only who signs in gets certificates",)
    age = now - state.read
    if age <= LATE:
        return ()
    since = f"the org's System Log was last read to its end {age:.0f} s ago"
    if age > STALE:
        return (f"{since}: no certificates until it is read again",)
    return (f"{since}: changes at the org are late",)
