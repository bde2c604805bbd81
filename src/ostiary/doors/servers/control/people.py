"""People as Okta has them: read at sign-in and by the poller; what is not fresh enough gives no certificate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ostiary.doors.servers.control import preauthorizations
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.projects import changed
from ostiary.doors.servers.control.tables import entitlements, local_users, people, sessions
from ostiary.model.server_access import login_for

TRIES = 10  # of other processes that choose the same name at the same time


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
        _add(connection, {"id": person.id, **values})
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
            named = _named(connection, project_id, person.groups)
            ledger.append(project_id, "person.changed", {**body, "groups": named})


def _add(connection: Connection, values: Mapping[str, Any]) -> None:
    """Somebody new, with a name on hosts. Another process may take that name before we have it: then the next one."""
    for left in reversed(range(TRIES)):
        name = _free_login(connection, login_for(values["login"]))
        try:
            with connection.begin_nested():
                connection.execute(insert(people).values(local_login=name, **values))
        except IntegrityError:
            if not left:
                raise
        else:
            return


def _free_login(connection: Connection, wanted: str) -> str:
    """``wanted``, or with the first free number behind it; ``user1`` where nothing of the Okta login fits."""
    column = people.c.local_login
    if wanted and connection.scalar(select(column).where(column == wanted)) is None:
        return wanted
    stem = wanted or "user"
    taken = set(connection.scalars(select(column).where(column.startswith(stem[:24]))))
    number = 1
    while (name := f"{stem[:26]}{number}") in taken:
        number += 1
    return name


def local_login(connection: Connection, person_id: str) -> str:
    """The name of somebody whom we know, or of a machine, on the hosts of every project; nobody else ever has it."""
    query = select(people.c.local_login).where(people.c.id == person_id)
    return str(connection.execute(query).scalar_one())


def _concerned(
    connection: Connection, logins: AbstractSet[str], groups: AbstractSet[str]
) -> Sequence[str]:
    """The projects that have a rule for one of these logins or groups."""
    table = entitlements
    users = {f"user:{one}" for one in logins}
    subjects = {*logins, *users, *(f"group:{name}" for name in groups)}
    query = select(table.c.project_id).distinct().where(table.c.subject.in_(sorted(subjects)))
    return connection.scalars(query.order_by(table.c.project_id)).all()


def _named(connection: Connection, project_id: str, groups: Sequence[str]) -> list[str]:
    """Those of the groups that a rule of the project names: what else somebody is in is not for its owners to read."""
    table = entitlements
    query = select(table.c.subject).where(
        table.c.project_id == project_id,
        table.c.subject.in_([f"group:{name}" for name in groups]),
    )
    return sorted({one.removeprefix("group:") for one in connection.scalars(query)})


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
