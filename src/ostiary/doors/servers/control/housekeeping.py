"""What time alone changes: rules and preauthorizations that end, servers that nobody has seen for long, and what may be forgotten."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import ColumnElement, Connection, select, update

from ostiary.doors.servers.control import inventory, preauthorizations, sessions, used_once
from ostiary.doors.servers.control.database import Database, translated
from ostiary.doors.servers.control.duties import Duty
from ostiary.doors.servers.control.lease import Lease, Leased
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.projects import changed
from ostiary.doors.servers.control.tables import entitlements, servers
from ostiary.doors.servers.control.writer import Writer

DUTY = "housekeeping"
SECONDS = 1.0  # between two rounds: how late a rule ends
FORGET_SECONDS = 60.0
VANISHED_DAYS = 30


class Housekeeping:
    """The rounds of the duty. ``vanished`` is seconds after which a server that was not seen is retired."""

    def __init__(
        self, database: Database, writer: Writer, clock: Callable[[], float], vanished: float
    ) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        self._vanished = vanished
        self._forgotten = 0.0

    def __call__(self, lease: Lease) -> float:  # noqa: ARG002 - as Round; its writes fence themselves by the chains
        now = self._clock()
        with translated("cannot see what has ended"), self._database.reading() as connection:
            ended = connection.scalars(
                select(entitlements.c.project_id).distinct().where(_ended(now))
            ).all()
            over = preauthorizations.over(connection, now)
            gone = connection.execute(
                select(servers.c.id, servers.c.project_id).where(
                    servers.c.state != inventory.RETIRED,
                    servers.c.last_seen < now - self._vanished,
                )
            ).all()
        if ended:
            self._writer.write(ended, end_rules)
        if over:
            self._writer.write(over, preauthorizations.end)
        for row in gone:
            self._retire(row.id, row.project_id, now)
        if abs(now - self._forgotten) > FORGET_SECONDS:
            self._writer.write([], _forget)
            self._forgotten = now
        return SECONDS

    def _retire(self, server_id: str, project_id: str, now: float) -> None:
        def work(connection: Connection, ledger: Ledger) -> None:
            server = inventory.by_id(connection, server_id)
            if server.last_seen >= now - self._vanished or server.state == inventory.RETIRED:
                return
            days = round((now - server.last_seen) / 86400, 1)
            ledger.append(project_id, "server.vanished", {"server": server_id, "days": days})
            inventory.retire(connection, ledger, server)

        self._writer.write([project_id], work)

    def duty(self) -> Duty:
        return Leased(Lease(self._database, DUTY), self).duty()


def end_rules(connection: Connection, ledger: Ledger) -> None:
    """Let hosts know of rules whose time is over. A rule ends for certificates by itself, to the second."""
    table = entitlements
    ended = connection.execute(
        update(table)
        .where(_ended(ledger.now), table.c.project_id.in_(sorted(ledger.heads)))
        .values(ended=True)
        .returning(table.c.project_id, table.c.subject, table.c.until)
    ).all()
    for row in ended:
        body = {"subject": row.subject, "until": row.until}
        ledger.append(row.project_id, "rule.ended", body)
    for project_id in sorted({row.project_id for row in ended}):
        changed(connection, project_id)


def _ended(now: float) -> ColumnElement[bool]:
    return (entitlements.c.until <= now) & entitlements.c.ended.is_(False)


def _forget(connection: Connection, ledger: Ledger) -> None:
    used_once.forget(connection, ledger)
    sessions.forget(connection, ledger)
    preauthorizations.forget(connection, ledger)
