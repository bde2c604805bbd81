"""What hosts report of themselves: how far they are, who came in, what is wrong, and whether there are two of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from ostiary.doors.servers.control import inventory
from ostiary.doors.servers.control.inventory import ACTIVE, Server
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.projects import changed
from ostiary.doors.servers.control.tables import certificates, servers
from ostiary.doors.servers.wire.host import UNTOLD, HostReport, Login
from ostiary.doors.servers.wire.one_line import one_line
from ostiary.errors import UsageError

FARTHEST_CLOCK = 60.0  # seconds: a host farther off would refuse good certificates or take old ones
MOST_BOOTS = 64
MOST_PROBLEMS, MOST_WAYS = 20, 100  # lines that are kept of a report
MOST_LOGINS = 2000  # what an agent sends at most: of more nothing is taken, so that nothing is lost
MOST_STRANGE = (
    10  # logins of a report by serials that were not issued for the host, with a row each
)
MOST_SERIAL = 2**63 - 1
LET_IN = ("accepted", "break-glass")  # outcomes


def take(connection: Connection, ledger: Ledger, server_id: str, report: HostReport) -> None:
    """Write down a report. A host that is on two machines, or on two at once, is quarantined."""
    if len(report.logins) > MOST_LOGINS:
        why = f"it has {len(report.logins)} logins; {MOST_LOGINS} are taken at once"
        raise UsageError("cannot take this report", why=why, code="bad-request")
    row = connection.execute(select(servers).where(servers.c.id == server_id)).one()
    server = inventory.of_row(row)
    offset = _bounded(report.time - ledger.now)
    known = json.loads(row.boots)
    boots = known if report.boot in known else [*known, report.boot[:64]][-MOST_BOOTS:]
    told: dict[str, list[str]] = {
        "trusted": [one_line(one) for one in report.trusted[:16]],
        "problems": _kept(report.problems, MOST_PROBLEMS),
        "other_ways": _kept(report.other_ways, MOST_WAYS),
    }
    values = {
        "last_seen": ledger.now,
        "clock_offset": offset,
        "applied": max(0, min(report.generation, 2**62)),
        "machine": row.machine or report.machine[:64],
        "boots": json.dumps(boots),
        "report": json.dumps(told),
    }
    connection.execute(update(servers).where(servers.c.id == server.id).values(**values))
    if why := _twice(row.machine, known, report):
        _quarantine(connection, ledger, server, why)
    if abs(offset) > FARTHEST_CLOCK >= abs(server.clock_offset):
        body = {"server": server.id, "seconds": round(offset, 1)}
        ledger.append(server.project_id, "server.clock", body)
    _new_lines(ledger, server, json.loads(row.report), told)
    _logins(connection, ledger, server, report.logins)


def most_rows(report: HostReport) -> int:
    """How many rows of the audit it can make. None, where ``take`` refuses it."""
    if len(report.logins) > MOST_LOGINS:
        return 0
    lines = min(len(report.problems), MOST_PROBLEMS) + min(len(report.other_ways), MOST_WAYS)
    return lines + len(report.logins)


def _kept(lines: Sequence[str], most: int) -> list[str]:
    """The first of them; the last line says how many more there are."""
    kept = [one_line(one[:500]) for one in lines[:most]]
    if len(lines) > most:
        kept[-1] = f"and {len(lines) - most + 1} more"
    return kept


def _bounded(seconds: float) -> float:
    """What a clock can say: not infinite, not no number."""
    return max(-1e11, min(seconds, 1e11)) if seconds == seconds else 0.0  # noqa: PLR0124 - NaN alone is not


def _twice(machine: str, boots: list[str], report: HostReport) -> str:
    """Why this cannot be the host that was enrolled: another machine, or a boot that was over already."""
    if machine and report.machine and report.machine != machine:
        return "its host key was used on another machine"
    if report.boot and report.boot in boots[:-1]:
        return "its host key is used in two boots by turns"
    return ""


def _quarantine(connection: Connection, ledger: Ledger, server: Server, why: str) -> None:
    if server.state != ACTIVE:
        return
    connection.execute(
        update(servers).where(servers.c.id == server.id).values(state=inventory.QUARANTINED)
    )
    changed(connection, server.project_id)
    ledger.append(server.project_id, "server.quarantined", {"server": server.id, "why": why})


def _new_lines(
    ledger: Ledger, server: Server, before: dict[str, list[str]], told: dict[str, list[str]]
) -> None:
    for what in ("problems", "other_ways"):
        for line in told[what]:
            if line not in before.get(what, ()):
                body = {"server": server.id, "text": line}
                ledger.append(server.project_id, f"server.{what.replace('_', '-')}", body)


def _logins(
    connection: Connection, ledger: Ledger, server: Server, logins: Sequence[Login]
) -> None:
    """Certificates met by a host: a row of the audit for each, and a mark beside each that was issued for it.

    A host that is somebody else's by now can make up serials without end, so many of those that were not issued for it are
    one row. An honest one tells of such as come by break-glass, and they are few.
    """
    issued = _issued(connection, server, logins)
    strange = [one for one in logins if one.serial not in issued and not _is_untold(one, logins)]
    known = logins
    if len(strange) > MOST_STRANGE:
        made_up = {id(one) for one in strange}
        known = [one for one in logins if id(one) not in made_up]
    for login in known:
        ledger.append(server.project_id, "certificate.met", _told(server, login))
        if login.serial in issued:
            _mark(connection, server, login)
    if len(strange) > MOST_STRANGE:
        ledger.append(server.project_id, "certificates.strange", _strange(server, strange))


def _issued(connection: Connection, server: Server, logins: Sequence[Login]) -> set[str]:
    """Their serials that we issued for this server."""
    serials = {int(one.serial) for one in logins if _is_serial(one.serial)}
    query = select(certificates.c.serial).where(
        certificates.c.server_id == server.id, certificates.c.serial.in_(serials)
    )
    return {str(one) for one in connection.scalars(query)} if serials else set()


def _is_serial(text: str) -> bool:
    """In the one spelling of a number of 63 bits."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MOST_SERIAL))
    return is_number and str(int(text)) == text and int(text) <= MOST_SERIAL


def _is_untold(login: Login, logins: Sequence[Login]) -> bool:
    """Whether it is no certificate, but says how many were not written down: an agent tells it last."""
    return login is logins[-1] and login.outcome == UNTOLD


def _told(server: Server, login: Login) -> dict[str, Any]:
    return {"server": server.id, **_event(login)}


def _event(login: Login) -> dict[str, Any]:
    return {
        "serial": one_line(login.serial[:20]),
        "login": one_line(login.login[:64]),
        "time": _bounded(login.time),
        "source": one_line(login.source[:253]),
        "outcome": one_line(login.outcome[:16]),
    }


def _strange(server: Server, logins: Sequence[Login]) -> dict[str, Any]:
    """How many they are, how many of them were let in, and the first; of those that were let in before the others."""
    first = sorted(logins, key=lambda one: one.outcome not in LET_IN)[:MOST_STRANGE]
    return {
        "server": server.id,
        "number": len(logins),
        "let_in": {how: sum(one.outcome == how for one in logins) for how in LET_IN},
        "first": [_event(one) for one in first],
    }


def _mark(connection: Connection, server: Server, login: Login) -> None:
    table = certificates
    connection.execute(
        update(table)
        .where(
            table.c.serial == int(login.serial),
            table.c.server_id == server.id,
            table.c.met == "",
        )
        .values(met=one_line(login.outcome[:16]))
    )
