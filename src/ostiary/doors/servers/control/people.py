"""People as Okta has them: read at sign-in and by the poller; what is not fresh enough gives no certificate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from ostiary.doors.servers.control.projects import changed
from ostiary.doors.servers.control.secret import new_token, token_hash
from ostiary.doors.servers.control.tables import local_users, people, projects, sessions
from ostiary.doors.servers.control.writer import Ledger

SESSION_SECONDS = 12 * 3600


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
    if before is not None and (before.groups, before.active) == (groups, person.active):
        return
    if not person.active:
        connection.execute(delete(sessions).where(sessions.c.person_id == person.id))
    body = {"person": person.id, "login": person.login, "active": person.active}
    for project_id in connection.scalars(select(projects.c.id)):
        changed(connection, project_id)
        known = connection.scalar(
            select(local_users.c.uid).where(
                local_users.c.project_id == project_id, local_users.c.person_id == person.id
            )
        )
        if known is not None:
            ledger.append(project_id, "person.changed", {**body, "groups": sorted(person.groups)})


def get(connection: Connection, person_id: str) -> Person | None:
    row = connection.execute(select(people).where(people.c.id == person_id)).one_or_none()
    return _person(row) if row else None


def every(connection: Connection) -> Sequence[Person]:
    return [_person(row) for row in connection.execute(select(people))]


def begin_session(connection: Connection, ledger: Ledger, person: Person, device: str) -> str:
    """A new session's token; the only time that it is seen."""
    token = new_token("session")
    connection.execute(
        insert(sessions).values(
            hash=token_hash(token),
            person_id=person.id,
            device=device[:128],
            expires=ledger.now + SESSION_SECONDS,
        )
    )
    return token


def of_session(connection: Connection, token: str, now: float) -> tuple[Person, str] | None:
    """Whose session a token is and on which device, None when there is none, or no more."""
    row = connection.execute(
        select(people, sessions.c.device)
        .join(sessions, sessions.c.person_id == people.c.id)
        .where(sessions.c.hash == token_hash(token), sessions.c.expires > now)
    ).one_or_none()
    return (_person(row), row.device) if row and row.active else None


def _person(row: Any) -> Person:
    return Person(row.id, row.login, tuple(json.loads(row.groups)), row.active, row.read)
