"""Preauthorizations as they are read: those that decide who may enter, and all that are listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, select

from ostiary.doors.servers.control.tables import people, preauthorizations, servers
from ostiary.doors.servers.wire import admin
from ostiary.model.preauthorization import Preauthorization

GOOD, ENDED, REVOKED = "good", "ended", "revoked"
MOST = 1000  # in one answer: with the longest of logins and reasons less than a message may have


@dataclass(frozen=True, slots=True)
class Whose:
    """Of the person with this id of Okta or, while nobody is known by it, of whoever has this login (as ``same_login``)."""

    person_id: str = ""
    login: str = ""


def standing(
    connection: Connection, project_id: str
) -> Mapping[Whose, tuple[Preauthorization, ...]]:
    """Those of a project that were not revoked, and of whose end hosts were not told, by whose they are.

    For each server the one that lasts longest: it outlives the others, and what is revoked makes all be read anew.
    """
    table = preauthorizations
    known = (table.c.id, table.c.person, table.c.person_id, table.c.server_id, table.c.until)
    mine_of: dict[tuple[str, str], dict[str, Preauthorization]] = {}
    for id_, person, person_id, server_id, until in connection.execute(
        select(*known).where(
            table.c.project_id == project_id, table.c.revoked.is_(False), table.c.ended.is_(False)
        )
    ).all():
        mine = mine_of.setdefault((person_id, "" if person_id else person), {})
        before = mine.get(server_id)
        if before is None or (before.until, before.id) < (until, id_):
            mine[server_id] = Preauthorization(id_, person, server_id, until)
    return {Whose(*whose): tuple(mine.values()) for whose, mine in mine_of.items()}


def page(
    connection: Connection, project_id: str, now: float, *, after: str = "", good: bool = False
) -> admin.Preauthorizations:
    """Some of those that are listed, by the order of ids behind ``after``; of these the newest last. ``good`` leaves out the others."""
    table = preauthorizations
    query = _listing().where(table.c.project_id == project_id, table.c.id > after)
    if good:
        query = query.where(table.c.revoked.is_(False), table.c.until > now)
    rows = connection.execute(query.order_by(table.c.id).limit(MOST + 1)).all()
    found = [_listed(row, now) for row in rows[:MOST]]
    ordered = sorted(found, key=lambda each: (each.created, each.id))
    more = found[-1].id if len(rows) > MOST else ""
    return admin.Preauthorizations(tuple(ordered), more)


def listed(connection: Connection, known: str, now: float) -> admin.Preauthorization:
    """The one of this id, which is there."""
    return _listed(connection.execute(_listing().where(preauthorizations.c.id == known)).one(), now)


def _listing() -> Select[Any]:
    """With the login that the person has now, and the name of the server."""
    table = preauthorizations
    bound = and_(people.c.id == table.c.person_id, people.c.login != "")
    return (
        select(table, servers.c.name, people.c.login)
        .join(servers, servers.c.id == table.c.server_id, isouter=True)
        .join(people, bound, isouter=True)
    )


def _listed(row: Any, now: float) -> admin.Preauthorization:
    return admin.Preauthorization(
        id=row.id,
        person=row.login or row.person,
        server_id=row.server_id,
        server=(row.name or "").partition("~")[0],  # a retired one bears its id behind it
        until=row.until,
        reason=row.reason,
        by=row.made_by,
        created=row.created,
        state=REVOKED if row.revoked else GOOD if now < row.until else ENDED,
    )
