"""Servers: enrolled by a token and the proof of a host key, found by name, seen or not, with their bastion."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from ostiary.doors.servers.control import bastions, projects
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.secret import new_id
from ostiary.doors.servers.control.statement import Statement
from ostiary.doors.servers.control.tables import projects as projects_table
from ostiary.doors.servers.control.tables import servers
from ostiary.doors.servers.wire import near
from ostiary.doors.servers.wire.host import Enroll, Enrolled
from ostiary.errors import Conflict, NotFound, UsageError

# One label, never with a dot: ssh takes what people type for a server of ours, and nobody who holds a token may make it
# take github.com for one.
HOST = re.compile(r"(?!localhost$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
KIND = "srv"
ID = f"{KIND}_"  # what an id begins with, and no name
_ADDRESS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
MOST_LABELS = 50
ACTIVE, QUARANTINED, RETIRED = "active", "quarantined", "retired"
_COLUMNS = (
    "id", "project_id", "name", "address", "port", "bastion", "host_key", "host_certificate", "labels", "state",
    "last_seen", "clock_offset", "applied",
)  # fmt: skip
_ACTIVE = (
    select(*(servers.c[name] for name in _COLUMNS), projects_table.c.generation)
    .join(projects_table, projects_table.c.id == servers.c.project_id)
    .where(servers.c.state == ACTIVE)
)
_BY_ID = Statement(_ACTIVE.where(servers.c.id == bindparam("name")))
_BY_NAME = Statement(_ACTIVE.where(servers.c.name == bindparam("name")))
_AT_HOME = (
    select(servers, projects_table.c.generation)
    .join(projects_table, projects_table.c.id == servers.c.project_id)
    .where(servers.c.id == bindparam("id"))
)


@dataclass(frozen=True, slots=True)
class Server:
    """``state``: active, quarantined (seen twice with one identity), retired."""

    id: str
    project_id: str
    name: str
    address: str
    port: int
    bastion: str
    host_key: str
    host_certificate: str
    labels: Mapping[str, str]
    state: str
    last_seen: float
    clock_offset: float
    applied: int
    renewals: int = 0


def enroll(
    connection: Connection,
    ledger: Ledger,
    asked: Enroll,
    host_key: str,
    *,
    project_id: str,
    by: str,
    cloud: str | None = None,
) -> Enrolled:
    """Keep a new server of a project. ``host_key`` is proven and in one form; ``by`` says what let it in.

    A host key is one server, and so is a cloud instance: a second enrollment with it, or under a name that is taken, is
    a Conflict.
    """
    _check(asked)
    project = projects.by_id(connection, project_id)
    if projects.is_deleted(project):
        raise projects.absent(project_id)
    server_id = new_id(KIND)
    row = {
        "id": server_id,
        "project_id": project_id,
        "name": asked.name,
        "address": asked.address,
        "port": asked.port,
        "bastion": asked.bastion,
        "host_key": host_key,
        "host_certificate": "",
        "labels": json.dumps(asked.labels, sort_keys=True),
        "facts": json.dumps(asked.facts, sort_keys=True),
        "state": "active",
        "enrolled": ledger.now,
        "last_seen": ledger.now,
        "clock_offset": 0.0,
        "applied": 0,
        "machine": asked.machine[:64],
        "cloud": cloud,
    }
    try:
        connection.execute(insert(servers).values(**row))
    except IntegrityError as taken_already:
        raise Conflict(
            f"cannot enroll {asked.name} in project {project.name}",
            why="a server of this name is enrolled there, or one with this host key anywhere"
            + (f", or instance {cloud} was enrolled before" if cloud else ""),
            fix="retire the other first:"
            f" ostiary servers retire {asked.name} --project {project.name}",
            code="enrolled",
        ) from taken_already
    if asked.bastion:
        projects.changed(connection, project_id)  # there is somebody more to let pass
    told = {"server": server_id, "name": asked.name, "address": asked.address, "by": by}
    ledger.append(project_id, "server.enrolled", {**told, "host_key": host_key})
    return Enrolled(
        server_id, project.name, bastions.warning(connection, project_id, project.name, asked)
    )


def _check(asked: Enroll) -> None:
    problems = []
    if not HOST.fullmatch(asked.name):
        problems.append(f"the name {asked.name[:80]!r} is not one label of a-z, 0-9 and -")
    if not _ADDRESS.fullmatch(asked.address):
        problems.append(f"the address {asked.address[:80]!r} is no host name or IP address")
    if not 1 <= asked.port <= 65535:  # noqa: PLR2004 - TCP's ports
        problems.append(f"the port {asked.port} does not exist")
    if asked.bastion:
        problems += _behind(asked)
    if len(asked.labels) > MOST_LABELS or len(asked.facts) > MOST_LABELS:
        problems.append(f"more than {MOST_LABELS} labels or facts")
    for key, value in asked.labels.items():
        if not _LABEL.fullmatch(key) or len(value) > 256 or not value.isprintable():  # noqa: PLR2004
            problems.append(f"the label {key[:80]!r} cannot be kept")
    if problems:
        raise UsageError("cannot enroll this host", why="\n".join(problems), code="bad-request")


def _behind(asked: Enroll) -> Iterator[str]:
    """What is wrong with the bastion, or with the address as one to reach through it.

    Without a bastion any will do: it is each client that connects, to itself, which is how a demo runs on one machine.
    """
    if asked.bastion == asked.name:
        yield f"{asked.name} cannot be reached through itself"
    if not HOST.fullmatch(asked.bastion):
        yield f"the bastion {asked.bastion[:80]!r} is no name of a server"
    elif near.is_itself(asked.address, asked.bastion):
        yield (
            f"to its bastion {asked.bastion} the address {asked.address[:80]!r} is {asked.bastion} itself:"
            " give the one by which that reaches this host (--address)"
        )


def at_home(connection: Connection, server_id: str) -> tuple[Server, int] | None:
    """The server of this id in whatever state, with its project's generation; None when there is none."""
    row = connection.execute(_AT_HOME, {"id": server_id}).one_or_none()
    return (of_row(row), row.generation) if row else None


def known(connection: Connection, server_id: str) -> Server | None:
    row = connection.execute(select(servers).where(servers.c.id == server_id)).one_or_none()
    return of_row(row) if row else None


def by_id(connection: Connection, server_id: str) -> Server:
    row = connection.execute(select(servers).where(servers.c.id == server_id)).one_or_none()
    if row is None:
        raise NotFound(f"no server has the id {server_id[:40]!r}", code="no-server")
    return of_row(row)


def find(connection: Connection, name: str) -> tuple[tuple[Server, int], ...]:
    """The active servers of this name or id, in whatever project, each with its project's generation."""
    found = _BY_ID if name.startswith(ID) else _BY_NAME
    rows = found.run(connection, {"name": name}).fetchall()
    return tuple((_of_values(row), row[-1]) for row in rows)


def every(connection: Connection, project_id: str | None = None) -> tuple[Server, ...]:
    query = select(servers).order_by(servers.c.name)
    if project_id is not None:
        query = query.where(servers.c.project_id == project_id)
    return tuple(of_row(row) for row in connection.execute(query))


def retire(connection: Connection, ledger: Ledger, server: Server) -> None:
    """The server is gone: nobody gets a certificate for it, and its name is free again."""
    if server.state == RETIRED:
        return
    connection.execute(
        update(servers)
        .where(servers.c.id == server.id)
        .values(state="retired", name=f"{server.name}~{server.id}", host_key=f"retired {server.id}")
    )
    projects.changed(connection, server.project_id)
    ledger.append(server.project_id, "server.retired", {"server": server.id, "name": server.name})


def release(connection: Connection, ledger: Ledger, server: Server) -> None:
    """Out of quarantine: who looked at it says that the one machine is the server. The others must be enrolled anew."""
    connection.execute(
        update(servers)
        .where(servers.c.id == server.id, servers.c.state == QUARANTINED)
        .values(state=ACTIVE, machine="", boots="[]")
    )
    projects.changed(connection, server.project_id)
    ledger.append(server.project_id, "server.released", {"server": server.id, "name": server.name})


def of_row(row: Any) -> Server:
    return Server(
        row.id,
        row.project_id,
        row.name,
        row.address,
        row.port,
        row.bastion,
        row.host_key,
        row.host_certificate,
        json.loads(row.labels),
        row.state,
        row.last_seen,
        row.clock_offset,
        row.applied,
        row.renewals,
    )


@lru_cache(maxsize=1024)
def _of_values(row: tuple[Any, ...]) -> Server:
    """Of what ``find`` was given: one server is asked for again and again."""
    values = dict(zip(_COLUMNS, row, strict=False))
    return Server(**{**values, "labels": json.loads(values["labels"])})
