"""The groups of hosts: one for each Okta group that a rule lets in, with a number from the project's counter.

``okta-`` in front of every name keeps them apart from the system's groups, so nobody becomes a member of ``docker``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from sqlalchemy import Connection, insert, select, update

from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.projects import changed
from ostiary.doors.servers.control.tables import local_groups, projects
from ostiary.doors.servers.wire.host import HostGroup
from ostiary.model.server_access import slug

PREFIX = "okta-"
LONGEST = 32


def of(connection: Connection, ledger: Ledger, project_id: str, group: str) -> HostGroup:
    """The LocalGroup of an Okta group in a project, made when first needed. A number is never given twice."""
    table = local_groups
    found = connection.execute(
        select(table).where(table.c.project_id == project_id, table.c.okta_group == group)
    ).one_or_none()
    if found is not None:
        return HostGroup(found.name, found.gid)
    counted = connection.execute(
        update(projects)
        .where(projects.c.id == project_id)
        .values(gid_next=projects.c.gid_next + 1)
        .returning(projects.c.uid_next, projects.c.gid_next)
    ).one()
    ledger.numbers[project_id] = (counted.uid_next, counted.gid_next)
    made = HostGroup(_free_name(connection, project_id, group), counted.gid_next - 1)
    connection.execute(
        insert(table).values(project_id=project_id, okta_group=group, **asdict(made))
    )
    changed(connection, project_id)
    ledger.append(project_id, "local-group.created", {"group": group, **asdict(made)})
    return made


def of_project(connection: Connection, project_id: str) -> Mapping[str, HostGroup]:
    """Every one that there ever was, by the name of the Okta group."""
    table = local_groups
    rows = connection.execute(select(table).where(table.c.project_id == project_id))
    return {row.okta_group: HostGroup(row.name, row.gid) for row in rows}


def _free_name(connection: Connection, project_id: str, group: str) -> str:
    """``okta-`` and what fits of the group's name, with the first free number behind it if that is taken."""
    wanted = (PREFIX + (slug(group) or "group"))[:LONGEST].rstrip("-")
    query = select(local_groups.c.name).where(local_groups.c.project_id == project_id)
    taken = set(connection.scalars(query))
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted[: LONGEST - 6]}-{number}"
    return name
