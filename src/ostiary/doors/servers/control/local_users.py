"""Who somebody is on the hosts of a project: numbers from the project's counters, the name that is theirs in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select, update

from ostiary.doors.servers.control import people
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.projects import changed
from ostiary.doors.servers.control.tables import local_users, projects


@dataclass(frozen=True, slots=True)
class Local:
    """Who somebody is on the hosts of a project."""

    login: str
    uid: int
    gid: int


def of(connection: Connection, ledger: Ledger, project_id: str, person_id: str) -> Local:
    """The person's LocalUser in a project, made when first needed. A number is never given twice.

    The caller's transaction holds the project's chain, so two processes never count at once.
    """
    table = local_users
    found = connection.execute(
        select(table).where(table.c.project_id == project_id, table.c.person_id == person_id)
    ).one_or_none()
    if found is not None:
        return Local(found.login, found.uid, found.gid)
    counted = connection.execute(
        update(projects)
        .where(projects.c.id == project_id)
        .values(uid_next=projects.c.uid_next + 1, gid_next=projects.c.gid_next + 1)
        .returning(projects.c.uid_next, projects.c.gid_next)
    ).one()
    ledger.numbers[project_id] = (counted.uid_next, counted.gid_next)
    made = Local(
        people.local_login(connection, person_id), counted.uid_next - 1, counted.gid_next - 1
    )
    connection.execute(
        insert(table).values(project_id=project_id, person_id=person_id, **asdict(made))
    )
    changed(connection, project_id)
    ledger.append(project_id, "local-user.created", {"person": person_id, **asdict(made)})
    return made


def of_project(connection: Connection, project_id: str) -> Mapping[str, Local]:
    """Everybody who ever had one there, by the id of the person."""
    rows = connection.execute(select(local_users).where(local_users.c.project_id == project_id))
    return {row.person_id: Local(row.login, row.uid, row.gid) for row in rows}
