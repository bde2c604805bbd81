"""Preauthorizations as they are kept: made by owners, good until their end or until they are revoked.

What is over stays listed for a month; its rows in the audit stay for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from ostiary.doors.servers.control import inventory
from ostiary.doors.servers.control.inventory import Server
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.projects import Project, changed, expect_kept
from ostiary.doors.servers.control.secret import new_id
from ostiary.doors.servers.control.tables import people, preauthorizations
from ostiary.doors.servers.wire.admin import (
    LONGEST_PREAUTHORIZATION,
    MOST_REASON,
    NewPreauthorization,
)
from ostiary.errors import Conflict, NotFound, UsageError
from ostiary.model.preauthorization import needs_one, same_login

KEPT = 30 * 86400.0  # seconds after its end
MOST_LOGIN = 320
MOST_GOOD = 10_000  # of a project at a time: each of its views reads them


def make(
    connection: Connection, ledger: Ledger, project: Project, asked: NewPreauthorization
) -> str:
    """The id of a new one. UsageError with all that is wrong with it, NotFound for a server, or a project, that is not there."""
    if problems := _faults(asked):
        what = f"cannot make a preauthorization in project {project.name}"
        fix = "run: ostiary servers preauthorization create --help"
        raise UsageError(what, why="\n".join(problems), fix=fix, code="bad-request")
    expect_kept(connection, project)
    server = server_of(connection, project, asked.server) if asked.server else None
    _check_room(connection, project, ledger.now)
    made = connection.execute(
        insert(preauthorizations)
        .values(
            id=new_id("pre"),
            project_id=project.id,
            person=same_login(asked.person),
            person_id=_known(connection, asked.person),
            server_id=server.id if server else "",
            until=ledger.now + asked.seconds,
            reason=asked.reason,
            made_by=ledger.by,
            created=ledger.now,
            revoked=False,
            ended=False,
        )
        .returning(*preauthorizations.c)
    ).one()
    changed(connection, project.id)
    ledger.append(project.id, "preauthorization.made", _told(made))
    return str(made.id)


def _faults(asked: NewPreauthorization) -> list[str]:
    found = []
    plain = asked.person.isprintable() and asked.person.strip() == asked.person
    if not 0 < len(asked.person) <= MOST_LOGIN or not plain:
        found.append(f"person {asked.person[:60]!r} is no login of Okta")
    elif not needs_one(same_login(asked.person)):
        found.append(f"{asked.person[:60]} needs none: a machine has an end and a rate of its own")
    if not 0 < asked.seconds <= LONGEST_PREAUTHORIZATION:
        most = LONGEST_PREAUTHORIZATION / 3600
        found.append(f"{asked.seconds / 3600:g} h is not more than 0 and at most {most:.0f} h")
    if not asked.reason.strip() or not asked.reason.isprintable():
        found.append("the reason is not one line of text")
    elif len(asked.reason) > MOST_REASON:
        found.append(f"the reason is longer than {MOST_REASON} characters")
    return found


def _check_room(connection: Connection, project: Project, now: float) -> None:
    """Conflict where so many are good that another would make each look at the project slow."""
    table = preauthorizations
    good = (table.c.project_id == project.id) & table.c.revoked.is_(False) & (table.c.until > now)
    if connection.execute(select(func.count()).where(good)).scalar_one() >= MOST_GOOD:
        raise Conflict(
            f"cannot make a preauthorization in project {project.name}",
            why=f"{MOST_GOOD:,} are good now, and no project has more",
            fix=f"see them with: ostiary servers preauthorization list --project {project.name} --good",
            code="too-many",
        )


def server_of(connection: Connection, project: Project, name: str) -> Server:
    """The server of a project with this name or id. NotFound where it has none, or it is retired."""
    for one in inventory.every(connection, project.id):
        if name in (one.id, one.name) and one.state != inventory.RETIRED:
            return one
    raise NotFound(
        f"no server of project {project.name} is named {name[:80]!r}",
        fix=f"see them with: ostiary servers inventory --project {project.name}",
        code="no-server",
    )


def bind(connection: Connection, person_id: str, login: str) -> None:
    """What was made for a login that nobody was known by is of this person from now on, whatever their login is later."""
    table = preauthorizations
    connection.execute(
        update(table)
        .where(table.c.person_id == "", table.c.person == same_login(login))
        .values(person_id=person_id)
    )


def _known(connection: Connection, login: str) -> str:
    """The id of the one active person who has this login; "" where nobody is known by it, or several are."""
    asked = (people.c.login == login) | (func.lower(people.c.login) == same_login(login))
    rows = connection.execute(select(people.c.id, people.c.login).where(asked, people.c.active))
    found = [
        row.id for row in rows if needs_one(row.id) and same_login(row.login) == same_login(login)
    ]
    return found[0] if len(found) == 1 else ""


def revoke(connection: Connection, ledger: Ledger, project: Project, known: str) -> None:
    """End one now; nothing is done to one that is over. NotFound if the project has none of this id."""
    table = preauthorizations
    its = (table.c.id == known) & (table.c.project_id == project.id)
    row = connection.execute(
        update(table)
        .where(its, table.c.revoked.is_(False), table.c.ended.is_(False))
        .values(revoked=True)
        .returning(*table.c)
    ).one_or_none()
    if row is not None:
        changed(connection, project.id)
        ledger.append(project.id, "preauthorization.revoked", _told(row))
    elif connection.scalar(select(table.c.id).where(its)) is None:
        raise NotFound(
            f"no preauthorization of project {project.name} has the id {known[:40]!r}",
            fix=f"see them with: ostiary servers preauthorization list --project {project.name}",
            code="unknown-preauthorization",
        )


def over(connection: Connection, now: float) -> Sequence[str]:
    """The projects with one whose time is over, of which nobody was told yet."""
    query = select(preauthorizations.c.project_id).distinct().where(_over(now))
    return connection.scalars(query).all()


def end(connection: Connection, ledger: Ledger) -> None:
    """Let hosts know of those whose time is over. One ends for certificates by itself, to the second."""
    table = preauthorizations
    ended = connection.execute(
        update(table)
        .where(_over(ledger.now), table.c.project_id.in_(sorted(ledger.heads)))
        .values(ended=True)
        .returning(*table.c)
    ).all()
    for row in ended:
        ledger.append(row.project_id, "preauthorization.ended", _told(row))
    for project_id in sorted({row.project_id for row in ended}):
        changed(connection, project_id)


def forget(connection: Connection, ledger: Ledger) -> None:
    """Strike out what was over long ago."""
    table = preauthorizations
    connection.execute(delete(table).where(table.c.until < ledger.now - KEPT))


def _over(now: float) -> ColumnElement[bool]:
    table = preauthorizations
    return (table.c.until <= now) & table.c.ended.is_(False) & table.c.revoked.is_(False)


def _told(row: Any) -> dict[str, Any]:
    """Of a row, for the audit."""
    return {
        "preauthorization": row.id,
        "person": row.person,
        "person_id": row.person_id,
        "server": row.server_id,
        "until": row.until,
        "reason": row.reason,
        "made_by": row.made_by,
    }
