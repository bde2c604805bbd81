"""When checkpoints are signed, and in which of the processes on a database."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from ostiary.doors.servers.control.checkpoints import Checkpoints
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.duties import Duty
from ostiary.doors.servers.control.lease import Lease
from ostiary.errors import OstiaryError

DUTY = "checkpoints"
SECONDS = 60.0


class Rounds:
    """Signs each minute in one process of all on a database; at its end once more, and then lets another have the duty."""

    def __init__(
        self, checkpoints: Checkpoints, lease: Lease, clock: Callable[[], float] = monotonic
    ) -> None:
        self._checkpoints = checkpoints
        self._lease = lease
        self._clock = clock
        self._due = float("-inf")
        self._failed: OstiaryError | None = None

    def work(self) -> None:
        """What failed in the last round is raised again until the next, so that the status goes on to tell it."""
        if not self._lease.hold():
            self._failed = None
            return
        if self._clock() >= self._due:
            self._due = self._clock() + SECONDS
            self._sign()
        if self._failed is not None:
            raise self._failed

    def end(self) -> None:
        if not self._lease.hold():
            return
        try:
            self._checkpoints.sign()
        finally:
            self._lease.release()

    def _sign(self) -> None:
        self._failed = None
        try:
            self._checkpoints.sign()
        except OstiaryError as failed:
            self._failed = failed


def duty(checkpoints: Checkpoints, database: Database) -> Duty:
    lease = Lease(database, DUTY)
    rounds = Rounds(checkpoints, lease)
    return Duty(DUTY, lambda: lease.seconds / 3, rounds.work, rounds.end)
