"""Projects: counters of numbers, rules, enrollment tokens. Every change is a row of the project's audit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from ostiary.doors.servers.control.secret import new_id, new_token, token_hash
from ostiary.doors.servers.control.tables import (
    enrollment_tokens,
    entitlements,
    local_users,
    people,
    projects,
)
from ostiary.doors.servers.control.writer import Ledger
from ostiary.errors import Conflict, NotFound, UsageError
from ostiary.model.server_access import Rule, SudoRule, faults, login_for

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
UID_START, GID_START = 60001, 63001  # as Okta's product has them
LOWEST = 1000
HIGHEST = 2**31 - 1
# Ranges that systemd gives away by itself. Source: systemd, docs/UIDS-GIDS.md.
SYSTEMD = ((60001, 60513, "systemd-homed"), (61184, 65519, "systemd's DynamicUser="))


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    name: str
    uid_next: int
    gid_next: int
    generation: int


def number_warnings(uid_start: int, gid_start: int) -> tuple[str, ...]:
    """Where numbers counted from here meet those of systemd."""
    found = []
    for what, start in (("UIDs", uid_start), ("GIDs", gid_start)):
        for first, last, whose in SYSTEMD:
            if start <= last and start >= first - 1000:
                found.append(
                    f"{what} from {start} reach {first}-{last}, which {whose} uses; "
                    "65536 to 524287 is free of such ranges"
                )
    return tuple(found)


def create(
    connection: Connection, ledger: Ledger, name: str, *, uid_start: int, gid_start: int
) -> Project:
    """A new project without authorities. Conflict if there is one of this name."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"cannot name a project {name!r}",
            why="a name is of a-z, 0-9 and -, at most 63 long",
            fix="choose another name",
        )
    for what, start in (("uid_start", uid_start), ("gid_start", gid_start)):
        if not LOWEST <= start <= HIGHEST:
            raise UsageError(
                f"cannot start project {name} at {what} {start}",
                why=f"it is outside {LOWEST} to {HIGHEST}",
                fix=f"use {UID_START} for UIDs and {GID_START} for GIDs, or numbers from 65536 on",
            )
    if connection.scalar(select(projects.c.id).where(projects.c.name == name)):
        raise Conflict(f"cannot make project {name}", why="it exists", fix="choose another name")
    project = Project(new_id("prj"), name, uid_start, gid_start, 1)
    connection.execute(insert(projects).values(**asdict(project), created=ledger.now))
    ledger.append(
        project.id,
        "project.created",
        {"name": name, "uid_start": uid_start, "gid_start": gid_start},
    )
    return project


def by_name(connection: Connection, name: str) -> Project:
    row = connection.execute(select(projects).where(projects.c.name == name)).one_or_none()
    if row is None:
        raise NotFound(
            f"no project is named {name}", fix="see them with: ostiary servers project list"
        )
    return _project(row)


def by_id(connection: Connection, project_id: str) -> Project:
    return _project(connection.execute(select(projects).where(projects.c.id == project_id)).one())


def every(connection: Connection) -> tuple[Project, ...]:
    rows = connection.execute(select(projects).order_by(projects.c.name))
    return tuple(_project(row) for row in rows)


def _project(row: Any) -> Project:
    return Project(row.id, row.name, row.uid_next, row.gid_next, row.generation)


def changed(connection: Connection, project_id: str) -> None:
    """Hosts of the project have something new to hold."""
    connection.execute(
        update(projects)
        .where(projects.c.id == project_id)
        .values(generation=projects.c.generation + 1)
    )


def make_token(
    connection: Connection, ledger: Ledger, project: Project, *, uses: int, seconds: float
) -> str:
    """A new enrollment token; the only time that it is seen."""
    token, token_id = new_token("enroll"), new_id("tok")
    connection.execute(
        insert(enrollment_tokens).values(
            hash=token_hash(token),
            id=token_id,
            project_id=project.id,
            uses_left=uses,
            expires=ledger.now + seconds,
            revoked=False,
            created=ledger.now,
        )
    )
    ledger.append(
        project.id, "token.created", {"token": token_id, "uses": uses, "seconds": seconds}
    )
    return token


def use_token(connection: Connection, ledger: Ledger, token: str) -> tuple[str, str] | None:
    """Take one use of a token: (project id, token id), None if it is unknown, used up, expired or revoked.

    One statement, so that of many who come at once no more than ``uses`` succeed.
    """
    table = enrollment_tokens
    taken = connection.execute(
        update(table)
        .where(
            table.c.hash == token_hash(token),
            table.c.uses_left > 0,
            table.c.expires > ledger.now,
            table.c.revoked.is_(False),
        )
        .values(uses_left=table.c.uses_left - 1)
        .returning(table.c.project_id, table.c.id)
    ).one_or_none()
    return (taken.project_id, taken.id) if taken else None


def revoke_token(connection: Connection, ledger: Ledger, token_id: str) -> None:
    table = enrollment_tokens
    found = connection.execute(
        update(table)
        .where(table.c.id == token_id)
        .values(revoked=True)
        .returning(table.c.project_id)
    ).one_or_none()
    if found is None:
        raise NotFound(f"no enrollment token has the id {token_id}")
    ledger.append(found.project_id, "token.revoked", {"token": token_id})


def rules(connection: Connection, project_id: str) -> tuple[Rule, ...]:
    rows = connection.execute(
        select(entitlements)
        .where(entitlements.c.project_id == project_id)
        .order_by(entitlements.c.id)
    )
    return tuple(replace(_rule(json.loads(row.rule)), subject=row.subject) for row in rows)


def set_rules(
    connection: Connection, ledger: Ledger, project: Project, wanted: Sequence[Rule]
) -> None:
    """Make the rules of a project exactly ``wanted``. UsageError with everything that is wrong with them."""
    if problems := [fault for rule in wanted for fault in faults(rule)]:
        raise UsageError(f"cannot set the rules of project {project.name}", why="\n".join(problems))
    before = {_text(rule) for rule in rules(connection, project.id)}
    after = {_text(rule) for rule in wanted}
    if before == after:
        return
    connection.execute(delete(entitlements).where(entitlements.c.project_id == project.id))
    for rule in wanted:
        connection.execute(
            insert(entitlements).values(
                id=new_id("ent"),
                project_id=project.id,
                subject=rule.subject,
                rule=_text(rule),
                until=rule.until,
                created=ledger.now,
            )
        )
    changed(connection, project.id)
    body = {"added": sorted(after - before), "removed": sorted(before - after)}
    ledger.append(project.id, "rules.changed", body)


def _text(rule: Rule) -> str:
    return json.dumps(asdict(rule), sort_keys=True)


def _rule(value: Mapping[str, Any]) -> Rule:
    sudo = tuple(SudoRule(**{**one, "commands": tuple(one["commands"])}) for one in value["sudo"])
    servers = tuple((key, label) for key, label in value["servers"])
    texts = {name: tuple(value[name]) for name in ("forward", "source_address")}
    return Rule(**{**value, **texts, "sudo": sudo, "servers": servers})


@dataclass(frozen=True, slots=True)
class Local:
    """Who somebody is on the hosts of a project."""

    login: str
    uid: int
    gid: int


def local_user(connection: Connection, ledger: Ledger, project_id: str, person_id: str) -> Local:
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
    okta_login = connection.scalar(select(people.c.login).where(people.c.id == person_id))
    made = Local(
        _free_login(connection, project_id, login_for(str(okta_login))),
        counted.uid_next - 1,
        counted.gid_next - 1,
    )
    connection.execute(
        insert(table).values(project_id=project_id, person_id=person_id, **asdict(made))
    )
    changed(connection, project_id)
    ledger.append(project_id, "local-user.created", {"person": person_id, **asdict(made)})
    return made


def _free_login(connection: Connection, project_id: str, wanted: str) -> str:
    """``wanted``, or with the first free number behind it; ``user1`` where nothing of the Okta login fits."""
    stem = wanted or "user"
    taken = set(
        connection.scalars(
            select(local_users.c.login).where(
                local_users.c.project_id == project_id, local_users.c.login.startswith(stem[:24])
            )
        )
    )
    if wanted and wanted not in taken:
        return wanted
    number = 1
    while (name := f"{stem[:28]}{number}") in taken:
        number += 1
    return name
