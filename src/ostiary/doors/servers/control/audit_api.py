"""The audit as its readers ask for it, and slips of break-glass as they come: ``wire/admin.py``."""

from __future__ import annotations

from sqlalchemy import Connection, select

from ostiary.doors.servers.control import checkpoints, permitted, projects, slips
from ostiary.doors.servers.control.database import translated
from ostiary.doors.servers.control.endpoint import Call, Endpoint
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.control.tables import audit
from ostiary.doors.servers.wire.admin import AuditRow, AuditRows, Checkpoints, Slip
from ostiary.errors import UsageError

MOST = 1000  # rows, or checkpoints, in one answer
LARGEST = 2 * 1024 * 1024  # characters of their bodies: answers are bounded too


def rows(services: Services, call: Call) -> AuditRows:
    """The rows after ``after``, at most 1,000 and at least one if there is one."""
    project = permitted.project(services, call.who, call.path["name"])
    query = (
        select(audit)
        .where(audit.c.project_id == project.id, audit.c.number > _after(call))
        .order_by(audit.c.number)
        .limit(MOST)
    )
    found: list[AuditRow] = []
    size = 0
    with translated("cannot read the audit"), services.database.reading() as connection:
        for row in connection.execute(query):
            size += len(row.body)
            if found and size > LARGEST:
                break
            found.append(AuditRow(*row))
    return AuditRows(tuple(found))


def list_checkpoints(services: Services, call: Call) -> Checkpoints:
    """Those after row ``after``, at most 1,000."""
    project = permitted.project(services, call.who, call.path["name"])
    with translated("cannot read checkpoints"), services.database.reading() as connection:
        return Checkpoints(checkpoints.after(connection, project.id, _after(call), MOST))


def submit(services: Services, call: Call) -> None:
    project = permitted.project(services, call.who, call.path["name"])
    slip: Slip = call.message
    with translated("cannot read authorities"), services.database.reading() as connection:
        told = slips.judge(connection, project.id, slip)

    def work(connection: Connection, ledger: Ledger) -> None:
        projects.expect_kept(connection, project)
        slips.write_down(connection, ledger, project.id, told, call.who.person.login)

    services.writer.write([project.id], work)


def _after(call: Call) -> int:
    text = call.query.get("after", "0")
    if not text.isascii() or not text.isdigit() or len(text) > 18:  # noqa: PLR2004 - fits 63 bits
        raise UsageError(f"cannot read after row {text[:40]!r}", code="bad-request")
    return int(text)


ENDPOINTS = (
    Endpoint("GET", "/v1/projects/{name}/audit", rows),
    Endpoint("GET", "/v1/projects/{name}/checkpoints", list_checkpoints),
    Endpoint("POST", "/v1/projects/{name}/slips", submit, takes=Slip),
)
