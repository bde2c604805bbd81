"""The audit of a project read from the database itself: for exports by whoever runs the control plane, with nobody signed in."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from ostiary.doors.servers.control import authorities, checkpoints, projects
from ostiary.doors.servers.control.authorities import HOST
from ostiary.doors.servers.control.database import Database, translated
from ostiary.doors.servers.control.tables import audit
from ostiary.doors.servers.wire.admin import AuditRow, Checkpoint
from ostiary.pki import ssh_key
from ostiary.pki.ssh_key import PublicKey

_AT_ONCE = 5000


class DatabaseSource:
    """Satisfies ``audit.export.Source``; writes nothing. NotFound for a project that is not there."""

    def __init__(self, database: Database, project: str) -> None:
        self._database = database
        with translated("cannot read the project"), database.reading() as connection:
            self.project_id = projects.by_name(connection, project).id
            known = authorities.of_project(connection, self.project_id)
        self.authorities: tuple[PublicKey, ...] = tuple(
            ssh_key.parse(one.public_key) for one in known if one.use == HOST
        )

    def rows(self, after: int) -> Sequence[AuditRow]:
        query = (
            select(audit)
            .where(audit.c.project_id == self.project_id, audit.c.number > after)
            .order_by(audit.c.number)
            .limit(_AT_ONCE)
        )
        with translated("cannot read the audit"), self._database.reading() as connection:
            return [AuditRow(*row) for row in connection.execute(query)]

    def checkpoints(self, after: int) -> Sequence[Checkpoint]:
        with translated("cannot read checkpoints"), self._database.reading() as connection:
            return checkpoints.after(connection, self.project_id, after, _AT_ONCE)
