"""What hosts report of themselves: how far they are, who came in, what is wrong, and whether there are two of one."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from ostiary.doors.servers.control import inventory
from ostiary.doors.servers.control.inventory import ACTIVE, Server
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.projects import changed
from ostiary.doors.servers.control.tables import certificates, servers
from ostiary.doors.servers.wire.host import HostReport, Login
from ostiary.errors import UsageError

FARTHEST_CLOCK = 60.0  # seconds: a host farther off would refuse good certificates or take old ones
MOST_BOOTS = 64
MOST_PROBLEMS, MOST_WAYS = 20, 100  # lines that are kept of a report
MOST_LOGINS = 2000  # what an agent sends at most: of more nothing is taken, so that nothing is lost


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
        "trusted": [_plain(one) for one in report.trusted[:16]],
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
    for login in report.logins:
        _login(connection, ledger, server, login)


def _kept(lines: Sequence[str], most: int) -> list[str]:
    """The first of them; the last line says how many more there are."""
    kept = [_plain(one[:500]) for one in lines[:most]]
    if len(lines) > most:
        kept[-1] = f"and {len(lines) - most + 1} more"
    return kept


def _plain(text: str) -> str:
    """On one line and without colour: whoever reads it must not take it for another's line, or ours."""
    return "".join(one if one.isprintable() else "?" for one in text)


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


def _login(connection: Connection, ledger: Ledger, server: Server, login: Login) -> None:
    """A certificate met by a host: one row of the audit, and a mark beside the certificate that we issued."""
    body = {
        "server": server.id,
        "serial": _plain(login.serial[:20]),
        "login": _plain(login.login[:64]),
        "time": _bounded(login.time),
        "source": _plain(login.source[:253]),
        "outcome": _plain(login.outcome[:16]),
    }
    ledger.append(server.project_id, "certificate.met", body)
    if not (login.serial.isascii() and login.serial.isdigit() and len(login.serial) <= 19):  # noqa: PLR2004 - 63 bits
        return
    table = certificates
    connection.execute(
        update(table)
        .where(
            table.c.serial == min(int(login.serial), 2**63 - 1),
            table.c.server_id == server.id,
            table.c.met == "",
        )
        .values(met=login.outcome[:16])
    )
