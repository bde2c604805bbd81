"""The machine principals of projects as they are kept; what proves one is judged by ``machines.py`` when it is set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from ostiary.doors.servers.control.projects import Project, changed
from ostiary.doors.servers.control.tables import machines
from ostiary.doors.servers.control.writer import Ledger
from ostiary.doors.servers.wire.admin import Label, Machine
from ostiary.errors import Conflict


def of_project(connection: Connection, project_id: str) -> tuple[Machine, ...]:
    query = select(machines.c.machine).where(machines.c.project_id == project_id)
    texts = connection.scalars(query.order_by(machines.c.name))
    return tuple(_machine(text) for text in texts)


def find(connection: Connection, name: str) -> tuple[str, Machine] | None:
    """The id of the project and the machine of this name; None when there is none."""
    query = select(machines.c.project_id, machines.c.machine).where(machines.c.name == name)
    row = connection.execute(query).one_or_none()
    return (row.project_id, _machine(row.machine)) if row else None


def put(
    connection: Connection, ledger: Ledger, project: Project, wanted: Sequence[Machine]
) -> None:
    """Make the machines of a project exactly ``wanted``. Conflict when another project has one of that name."""
    before = {_text(one) for one in of_project(connection, project.id)}
    after = {_text(one): one for one in wanted}
    if before == set(after):
        return
    connection.execute(delete(machines).where(machines.c.project_id == project.id))
    try:
        for text, one in after.items():
            connection.execute(
                insert(machines).values(project_id=project.id, name=one.name, machine=text)
            )
    except IntegrityError as taken:
        raise Conflict(
            f"cannot set the machines of project {project.name}",
            why="two of them, or one of another project, have the same name",
            fix="choose another name",
            code="machine-exists",
        ) from taken
    changed(connection, project.id)
    body = {"added": sorted(set(after) - before), "removed": sorted(before - set(after))}
    ledger.append(project.id, "machines.changed", body)


def _text(machine: Machine) -> str:
    return json.dumps(asdict(machine), sort_keys=True)


def _machine(text: str) -> Machine:
    value = json.loads(text)
    claims = tuple(Label(one["key"], one["value"]) for one in value["claims"])
    return Machine(**{**value, "claims": claims})
