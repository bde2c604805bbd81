"""Whether our clock may be believed: the database's is the second opinion, where it is a server of its own.

SQLite has no clock but ours. A certificate by a wrong clock would be refused by every host, or live too long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sqlalchemy import func, select

from ostiary.doors.servers.control.database import Database, translated
from ostiary.errors import Unreachable

MOST = 5.0  # seconds that the two may differ
EVERY = 1.0  # seconds for which one comparison is good


class ClockGuard:
    """Compares now and then. Threads may share it."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._compared = float("-inf")
        self._offset = 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Unreachable (``clock``) while the clocks differ by more than ``MOST`` seconds."""
        if self._database.is_sqlite:
            return
        if time.monotonic() - self._compared > EVERY:
            with self._lock:
                self._offset = self._ask()
                self._compared = time.monotonic()
        if abs(self._offset) > MOST:
            raise Unreachable(
                "cannot sign now",
                why=f"the database's clock is {self._offset:+.1f} s from this machine's",
                fix="set the clocks of both by NTP",
                code="clock",
            )

    def _ask(self) -> float:
        """Seconds by which the database's clock is ahead."""
        what = "cannot ask the database for the time"
        with translated(what), self._database.reading() as connection:
            before = self._clock()
            found = connection.scalar(select(func.extract("epoch", func.clock_timestamp())))
            return float(found or 0.0) - (before + self._clock()) / 2
