"""One holder of a duty among all processes on a database: a row with a deadline, renewed while the work is done.

Every process goes by the clock of the database where that is a server (PostgreSQL), else by the machine's (SQLite is
one machine). The holder also keeps its own deadline on the monotonic clock, counted from before the write, so that it
passes for a stopped process too; ``fence`` says in the transaction of the work itself that the duty is still ours.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import Protocol

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ostiary.doors.servers.control.database import Database, translated
from ostiary.doors.servers.control.duties import Duty
from ostiary.doors.servers.control.tables import leases
from ostiary.errors import LeaseHeld

SECONDS = 15.0  # after which another process takes over from one that died
PATIENCE = 5.0  # after a round that failed


class Lease:
    """The duty ``duty`` as this process may hold it. Threads of one process share one object."""

    def __init__(
        self,
        database: Database,
        duty: str,
        *,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.duty = duty
        self.seconds = seconds
        self.holder = f"{socket.gethostname()[:64]}/{os.getpid()}/{secrets.token_hex(8)}"
        self._database = database
        self._clock = clock
        self._deadline = float("-inf")

    def hold(self) -> bool:
        """Take or renew; whether the duty is ours for ``seconds`` from now."""
        asked = time.monotonic()
        with (
            translated(f"cannot take the duty {self.duty}"),
            self._database.writing() as connection,
        ):
            ours = self._take(connection)
        self._deadline = asked + self.seconds if ours else float("-inf")
        return ours

    def keep(self) -> bool:
        """``hold``, without a write while two thirds of the time are left."""
        if self._deadline - time.monotonic() > self.seconds * 2 / 3:
            return True
        return self.hold()

    @property
    def held(self) -> bool:
        """Whether it is surely still ours, without asking."""
        return time.monotonic() < self._deadline

    def fence(self, connection: Connection) -> None:
        """LeaseHeld, inside the transaction that does the work, when the duty is somebody else's by now."""
        holder = connection.scalar(
            select(leases.c.holder)
            .where(leases.c.duty == self.duty, leases.c.until > self._now(connection))
            .with_for_update()  # PostgreSQL: nobody takes it before this transaction ends
        )
        if holder != self.holder or not self.held:
            raise LeaseHeld(
                f"cannot go on with the duty {self.duty}", why="another process has it by now"
            )

    def release(self) -> None:
        """Let others have it at once."""
        self._deadline = float("-inf")
        with (
            translated(f"cannot release the duty {self.duty}"),
            self._database.writing() as connection,
        ):
            connection.execute(
                delete(leases).where(leases.c.duty == self.duty, leases.c.holder == self.holder)
            )

    def _take(self, connection: Connection) -> bool:
        now = self._now(connection)
        values = {"holder": self.holder, "until": now + self.seconds}
        taken = connection.execute(
            update(leases)
            .where(
                leases.c.duty == self.duty,
                (leases.c.holder == self.holder) | (leases.c.until <= now),
            )
            .values(**values)
        )
        if taken.rowcount:
            return True
        if connection.scalar(select(leases.c.holder).where(leases.c.duty == self.duty)):
            return False
        try:
            with connection.begin_nested():
                connection.execute(insert(leases).values(duty=self.duty, **values))
        except IntegrityError:
            return False
        return True

    def _now(self, connection: Connection) -> float:
        if self._database.is_sqlite:
            return self._clock()
        return float(
            connection.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0.0
        )


class Round(Protocol):
    """One round of a duty: does what is due and says how many seconds to wait. The lease is held at its start."""

    def __call__(self, lease: Lease, /) -> float: ...


class Leased:
    """The work of a duty (``duties.Duty``) that only one process does at a time; the others wait to take over."""

    def __init__(self, lease: Lease, round_: Round) -> None:
        self._lease = lease
        self._round = round_
        self._due = 0.0

    def work(self) -> None:
        """Hold the duty, and do a round when one is due. Raises what the round raises."""
        if not self._lease.keep():
            self._due = 0.0
        elif time.monotonic() >= self._due:
            self._due = time.monotonic() + PATIENCE
            self._due = time.monotonic() + self._round(self._lease)

    def seconds(self) -> float:
        """Until ``work`` is called again: often enough to keep the duty, and to take over from one that died."""
        if not self._lease.held:
            return self._lease.seconds / 3
        return min(self._lease.seconds / 3, max(0.0, self._due - time.monotonic()))

    def end(self) -> None:
        """Nobody need wait until the time of a process that has ended in good order is over."""
        if self._lease.held:
            self._lease.release()

    def duty(self) -> Duty:
        return Duty(self._lease.duty, self.seconds, self.work, self.end)
