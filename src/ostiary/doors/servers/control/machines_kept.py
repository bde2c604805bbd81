"""The machine principals of projects as they are kept; what is wrong with one is judged when it is set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ostiary.doors.servers.control import people
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.machine_faults import faults
from ostiary.doors.servers.control.projects import Project, changed
from ostiary.doors.servers.control.tables import local_users, machines
from ostiary.doors.servers.control.tables import people as people_table
from ostiary.doors.servers.wire.admin import Label, Machine
from ostiary.errors import Conflict, UsageError


@dataclass(frozen=True, slots=True)
class Kept:
    """``bound`` is the id of the AWS role that signed in first, "" before that and for other kinds."""

    project_id: str
    machine: Machine
    bound: str


def person_id(name: str) -> str:
    """Id and login that a machine has among people."""
    return f"machine:{name}"


def of_project(connection: Connection, project_id: str) -> tuple[Machine, ...]:
    query = select(machines.c.machine).where(machines.c.project_id == project_id)
    texts = connection.scalars(query.order_by(machines.c.name))
    return tuple(_machine(text) for text in texts)


def find(connection: Connection, name: str) -> Kept | None:
    """The machine of this name, in whatever project; None when there is none."""
    row = connection.execute(select(machines).where(machines.c.name == name)).one_or_none()
    return Kept(row.project_id, _machine(row.machine), row.bound) if row else None


def still(connection: Connection, name: str, now: float) -> Machine | None:
    """The machine of this name, unless its time is over or nobody who is active answers for it.

    Whoever is let in by a new login is written down without a look at machines: so it is asked whenever one does something.
    """
    kept = find(connection, name)
    if kept is None or kept.machine.until <= now:
        return None
    owners = select(people_table.c.id).where(
        people_table.c.login == kept.machine.owner, people_table.c.active
    )
    return kept.machine if connection.execute(owners.limit(1)).one_or_none() else None


def entered(connection: Connection, names: Iterable[str]) -> tuple[str, ...]:
    """The projects in which machines of these names have numbers: their audits tell when one is signed out."""
    ids = sorted({person_id(name) for name in names})
    query = select(local_users.c.project_id).distinct().where(local_users.c.person_id.in_(ids))
    return tuple(connection.scalars(query))


def owned_by(connection: Connection, login: str) -> tuple[str, ...]:
    """The names of the machines that somebody answers for."""
    rows = connection.execute(select(machines.c.name, machines.c.machine))
    return tuple(sorted(row.name for row in rows if _machine(row.machine).owner == login))


def bind(connection: Connection, name: str, role_id: str) -> None:
    """From now on only the role of this id is the machine."""
    connection.execute(update(machines).where(machines.c.name == name).values(bound=role_id))


def put(
    connection: Connection, ledger: Ledger, project: Project, wanted: Sequence[Machine]
) -> None:
    """Make the machines of a project exactly ``wanted``. UsageError with everything that is wrong with them.

    Conflict when another project has one of that name. Whatever is taken away, changed or added is signed out: a session
    that was begun under the name of one that is added was another machine's.
    """
    if problems := [one for machine in wanted for one in faults(machine)]:
        raise UsageError(
            f"cannot set the machines of project {project.name}",
            why="\n".join(problems),
            code="bad-request",
        )
    before = {_text(one): one for one in of_project(connection, project.id)}
    after = {_text(one): one for one in wanted}
    if set(before) == set(after):
        return
    gone = [before[text].name for text in sorted(set(before) - set(after))]
    connection.execute(
        delete(machines).where(machines.c.project_id == project.id, machines.c.name.in_(gone))
    )
    new = sorted(set(after) - set(before))
    for name in sorted({*gone, *(after[text].name for text in new)}):
        sign_out(connection, ledger, name)
    try:
        for text in new:
            row = {"project_id": project.id, "name": after[text].name, "machine": text}
            connection.execute(insert(machines).values(**row))
    except IntegrityError as taken:
        raise Conflict(
            f"cannot set the machines of project {project.name}",
            why="two of them, or one of another project, have the same name",
            fix="choose another name",
            code="machine-exists",
        ) from taken
    changed(connection, project.id)
    body = {"added": new, "removed": sorted(set(before) - set(after))}
    ledger.append(project.id, "machines.changed", body)


def sign_out(connection: Connection, ledger: Ledger, name: str) -> None:
    """End the machine's sessions; hosts close its LocalUser until it signs in again."""
    known = people.get(connection, person_id(name))
    if known is not None and known.active:
        people.keep(connection, ledger, replace(known, active=False, read=ledger.now))


def _text(machine: Machine) -> str:
    return json.dumps(asdict(machine), sort_keys=True)


def _machine(text: str) -> Machine:
    value = json.loads(text)
    claims = tuple(Label(one["key"], one["value"]) for one in value["claims"])
    return Machine(**{**value, "claims": claims})
