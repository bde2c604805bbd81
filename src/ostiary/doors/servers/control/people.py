"""People as Okta has them: read at sign-in and by the poller; what is not fresh enough gives no certificate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from ostiary.doors.servers.control import preauthorizations
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.projects import changed
from ostiary.doors.servers.control.tables import entitlements, local_users, people, sessions


@dataclass(frozen=True, slots=True)
class Person:
    """``id`` is Okta's; ``read`` is when ``groups`` and ``active`` were last read there."""

    id: str
    login: str
    groups: tuple[str, ...]
    active: bool
    read: float


def keep(connection: Connection, ledger: Ledger, person: Person) -> None:
    """Write down what Okta says of somebody; hosts learn of it if it matters to them."""
    groups = json.dumps(sorted(person.groups))
    values = {
        "login": person.login,
        "groups": groups,
        "active": person.active,
        "read": person.read,
    }
    before = connection.execute(select(people).where(people.c.id == person.id)).one_or_none()
    if before is None:
        connection.execute(insert(people).values(id=person.id, **values))
    else:
        connection.execute(update(people).where(people.c.id == person.id).values(**values))
    same = (person.login, groups, person.active)
    if before is not None and (before.login, before.groups, before.active) == same:
        return
    if person.active:
        preauthorizations.bind(connection, person.id, person.login)
    else:
        connection.execute(delete(sessions).where(sessions.c.person_id == person.id))
    body = {"person": person.id, "login": person.login, "active": person.active}
    was = tuple(json.loads(before.groups)) if before else ()
    logins = {person.login, before.login} if before else {person.login}
    for project_id in _concerned(connection, logins, {*was, *person.groups}):
        changed(connection, project_id)
        known = connection.scalar(
            select(local_users.c.uid).where(
                local_users.c.project_id == project_id, local_users.c.person_id == person.id
            )
        )
        if known is not None:
            ledger.append(project_id, "person.changed", {**body, "groups": sorted(person.groups)})


def _concerned(
    connection: Connection, logins: AbstractSet[str], groups: AbstractSet[str]
) -> Sequence[str]:
    """The projects that have a rule for one of these logins or groups."""
    table = entitlements
    users = {f"user:{one}" for one in logins}
    subjects = {*logins, *users, *(f"group:{name}" for name in groups)}
    query = select(table.c.project_id).distinct().where(table.c.subject.in_(sorted(subjects)))
    return connection.scalars(query.order_by(table.c.project_id)).all()


def get(connection: Connection, person_id: str) -> Person | None:
    row = connection.execute(select(people).where(people.c.id == person_id)).one_or_none()
    return of_row(row) if row else None


def every(connection: Connection) -> Sequence[Person]:
    return [of_row(row) for row in connection.execute(select(people))]


def of_row(row: Any) -> Person:
    return Person(row.id, row.login, groups_of(row.groups), row.active, row.read)


@lru_cache(maxsize=65_536)
def groups_of(text: str) -> tuple[str, ...]:
    """The names in a row; many people have the same."""
    return tuple(json.loads(text))
