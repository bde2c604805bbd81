"""Projects: their numbers, their settings. Every change is a row of the project's audit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.secret import new_id
from ostiary.doors.servers.control.tables import (
    enrollment_tokens,
    entitlements,
    machines,
    preauthorizations,
    projects,
    servers,
)
from ostiary.doors.servers.wire.admin import Settings
from ostiary.errors import Conflict, NotFound, StalePlan, UsageError
from ostiary.model.preauthorization import MODES

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
UID_START, GID_START = 60001, 63001  # as Okta's product has them
LOWEST = 1000
HIGHEST = 2**31 - 1
_ACCOUNT = re.compile(r"[0-9]{12}(/[a-z]{2}(-[a-z]+)+-[0-9])?")
OTHER_WAYS = ("report", "close")
_DELETED = "~deleted"  # no name may end so


@dataclass(frozen=True, slots=True)
class Project:
    """``uid_next`` and ``gid_next`` only grow; so does ``generation``, with whatever a host should know of."""

    id: str
    name: str
    uid_next: int
    gid_next: int
    generation: int
    uid_start: int = UID_START
    gid_start: int = GID_START
    estate: str = ""
    settings: Settings = field(default_factory=Settings)


def create(
    connection: Connection,
    ledger: Ledger,
    name: str,
    *,
    uid_start: int,
    gid_start: int,
    estate: str = "",
) -> Project:
    """A new project without authorities. Conflict if there is one of this name."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"cannot name a project {name[:80]!r}",
            why="a name is of a-z, 0-9 and -, at most 63 long",
            fix="choose another name",
            code="bad-request",
        )
    for what, start in (("uid_start", uid_start), ("gid_start", gid_start)):
        if not LOWEST <= start <= HIGHEST:
            raise UsageError(
                f"cannot start project {name} at {what} {start}",
                why=f"it is outside {LOWEST} to {HIGHEST}",
                fix=f"use {UID_START} for UIDs and {GID_START} for GIDs, or numbers from 65536 to 99999",
                code="bad-request",
            )
    _check_estate(estate)
    if connection.scalar(select(projects.c.id).where(projects.c.name == name)):
        raise Conflict(
            f"cannot make project {name}",
            why="it exists",
            fix=f"choose another name, or see it with: ostiary servers project show {name}",
            code="project-exists",
        )
    made = Project(new_id("prj"), name, uid_start, gid_start, 1, uid_start, gid_start, estate)
    row = {**asdict(made), "settings": "{}", "created": ledger.now}
    connection.execute(insert(projects).values(**row))
    told = {"name": name, "uid_start": uid_start, "gid_start": gid_start, "estate": estate}
    ledger.append(made.id, "project.created", told)
    return made


def by_name(connection: Connection, name: str) -> Project:
    row = connection.execute(select(projects).where(projects.c.name == name)).one_or_none()
    if row is None or name.endswith(_DELETED):
        raise absent(name)
    return _project(row)


def absent(name: str) -> NotFound:
    return NotFound(
        f"no project is named {name[:80]!r}",
        fix="see them with: ostiary servers project list",
        code="no-project",
    )


def by_id(connection: Connection, project_id: str) -> Project:
    return _project(connection.execute(select(projects).where(projects.c.id == project_id)).one())


def is_deleted(project: Project) -> bool:
    return project.name.endswith(_DELETED)


def every(connection: Connection) -> tuple[Project, ...]:
    """All that were not deleted."""
    query = select(projects).where(projects.c.name.not_like(f"%{_DELETED}"))
    return tuple(_project(row) for row in connection.execute(query.order_by(projects.c.name)))


def _project(row: Any) -> Project:
    return Project(
        row.id,
        row.name,
        row.uid_next,
        row.gid_next,
        row.generation,
        row.uid_start,
        row.gid_start,
        row.estate,
        _settings(json.loads(row.settings)),
    )


def _settings(value: Mapping[str, Any]) -> Settings:
    lists = {name: tuple(value.get(name, ())) for name in ("accounts", "owners")}
    return Settings(**{**value, **lists})


def changed(connection: Connection, project_id: str) -> None:
    """Hosts of the project have something new to hold. The caller's transaction holds the project's chain."""
    connection.execute(
        update(projects)
        .where(projects.c.id == project_id)
        .values(generation=projects.c.generation + 1)
    )


def expect_kept(connection: Connection, project: Project) -> None:
    """NotFound when the project was deleted since it was read: nobody could see, or take away, what is written to it.

    The caller's transaction holds the project's chain.
    """
    if is_deleted(by_id(connection, project.id)):
        raise absent(project.name)


def expect(connection: Connection, project: Project, generation: int, judged: int) -> None:
    """StalePlan unless the project is still at ``generation``, and it is that one by which it was judged.

    NotFound when it was deleted, which moves no generation.
    """
    expect_kept(connection, project)
    now = connection.scalar(select(projects.c.generation).where(projects.c.id == project.id))
    if not now == generation == judged:
        raise StalePlan(
            f"cannot change project {project.name}",
            why=f"it was read at generation {generation} and is at {now}",
            fix="plan again",
            code="generation",
        )


def put_settings(
    connection: Connection, ledger: Ledger, project: Project, wanted: Settings
) -> None:
    """Make the settings of a project exactly ``wanted``. UsageError with all that is wrong with them."""
    if problems := _faults(wanted):
        what = f"cannot set up project {project.name}"
        raise UsageError(what, why="\n".join(problems), code="bad-request")
    if wanted == project.settings:
        return
    text = json.dumps(asdict(wanted), sort_keys=True)
    connection.execute(update(projects).where(projects.c.id == project.id).values(settings=text))
    changed(connection, project.id)
    ledger.append(project.id, "settings.changed", asdict(wanted))


def put_estate(connection: Connection, ledger: Ledger, project: Project, estate: str) -> None:
    """Give a project the mark of an estate, or take it off with ""."""
    _check_estate(estate)
    if estate == project.estate:
        return
    connection.execute(update(projects).where(projects.c.id == project.id).values(estate=estate))
    changed(connection, project.id)
    ledger.append(project.id, "estate.changed", {"from": project.estate, "to": estate})


def _check_estate(estate: str) -> None:
    if len(estate) > 128 or not estate.isprintable():  # noqa: PLR2004 - as the column is
        raise UsageError("cannot keep this estate's name", why="it is too long", code="bad-request")


def _faults(wanted: Settings) -> list[str]:
    found = [
        f"account {one[:60]!r} is not ACCOUNT or ACCOUNT/REGION"
        for one in wanted.accounts
        if not _ACCOUNT.fullmatch(one)
    ]
    if wanted.other_ways not in OTHER_WAYS:
        found.append(f"other_ways {wanted.other_ways[:60]!r} is none of {', '.join(OTHER_WAYS)}")
    if wanted.preauthorization not in MODES:
        said = wanted.preauthorization[:60]
        found.append(f"preauthorization {said!r} is none of {', '.join(MODES)}")
    if wanted.max_age < 0:
        found.append(f"max_age {wanted.max_age} is less than 0")
    for name, text in (
        ("acr_values", wanted.acr_values),
        *(("owner", one) for one in wanted.owners),
    ):
        if not text.isprintable() or len(text) > 1024:  # noqa: PLR2004 - nobody's is longer
            found.append(f"{name} {text[:60]!r} is too long or not printable")
    return found


def remove(connection: Connection, ledger: Ledger, project: Project) -> None:
    """Give a project up: its name is free, its rows and its audit stay. Conflict while servers are enrolled.

    Its tokens enroll nobody any more.
    """
    expect_kept(connection, project)
    held = connection.scalars(
        select(servers.c.name)
        .where(servers.c.project_id == project.id, servers.c.state != "retired")
        .order_by(servers.c.name)
        .limit(4)
    ).all()
    if held:
        raise Conflict(
            f"cannot delete project {project.name}",
            why=f"servers are enrolled in it: {', '.join(held)}",
            fix=f"run: ostiary servers retire {held[0]} --project {project.name}",
            code="servers-enrolled",
        )
    ledger.append(project.id, "project.deleted", {"name": project.name})
    for table in (entitlements, machines, enrollment_tokens, preauthorizations):
        connection.execute(delete(table).where(table.c.project_id == project.id))
    gone = f"{project.id}{_DELETED}"
    connection.execute(update(projects).where(projects.c.id == project.id).values(name=gone))
