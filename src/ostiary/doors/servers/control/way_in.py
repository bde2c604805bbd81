"""What lets a host in: an enrollment token, or the cloud's word for who it is; with both, both must be good."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from ostiary.doors.servers.control import cloud_identity, projects, tokens, used_once
from ostiary.doors.servers.control.cloud_identity import Instance
from ostiary.doors.servers.control.database import translated
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.projects import Project
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.wire.host import Enroll
from ostiary.errors import Conflict, Denied


@dataclass(frozen=True, slots=True)
class WayIn:
    """Into which project, and by what."""

    project_id: str
    token: str
    instance: Instance | None

    @property
    def cloud(self) -> str | None:
        return self.instance.key if self.instance else None

    def take(self, connection: Connection, ledger: Ledger, asked: Enroll) -> str:
        """Use up what lets the host in, in the transaction that keeps it; what the audit calls it."""
        by = []
        if self.token:
            taken = tokens.use(connection, ledger, self.token)
            if taken is None or taken[0] != self.project_id:
                raise tokens.refused(asked.name)
            by.append(f"token {taken[1]}")
        if self.instance is not None:
            _use(connection, self.instance, asked)
            by.append(f"instance {self.instance.key} role {self.instance.role}")
        return ", ".join(by)


def find(services: Services, asked: Enroll) -> WayIn:
    """Denied when nothing good lets the host in. Asks AWS where the host names an instance."""
    instance = None
    if asked.cloud.document or not asked.token:
        if services.cloud is None:
            raise cloud_identity.unavailable()
        instance = services.cloud.check(asked.cloud)
    with translated("cannot enroll"), services.database.reading() as connection:
        if instance is not None and not asked.token:
            return WayIn(_project(connection, asked, instance).id, "", instance)
        project_id = tokens.project_of(connection, asked.token)
    if project_id is None:
        raise tokens.refused(asked.name)
    return WayIn(project_id, asked.token, instance)


def _project(connection: Connection, asked: Enroll, instance: Instance) -> Project:
    """The one project whose settings name the instance's account."""
    names = {instance.account, f"{instance.account}/{instance.region}"}
    found = [one for one in projects.every(connection) if names & set(one.settings.accounts)]
    if not found:
        raise Denied(
            f"cannot enroll {asked.name[:80]!r}",
            why=f"no project takes instances of account {instance.account} in {instance.region}",
            fix="add the account to a project's accounts: ostiary apply",
            code="bad-cloud-identity",
        )
    if len(found) > 1:
        raise Conflict(
            f"cannot tell into which project {asked.name[:80]!r} is to be enrolled",
            why=f"account {instance.account} is named by {', '.join(one.name for one in found)}",
            fix="enroll with a token of the right one",
            code="several-projects",
        )
    return found[0]


def _use(connection: Connection, instance: Instance, asked: Enroll) -> None:
    if not used_once.use(connection, instance.mark, instance.until + 60):
        raise Denied(
            f"cannot enroll {asked.name[:80]!r}",
            why="this proof by AWS was used already",
            fix="run the same command again on the host",
            code="bad-cloud-identity",
        )
