"""What administrators ask: ``wire/admin.py``, but for audit and break-glass."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, select

from ostiary.doors.servers.control import (
    authorities,
    inventory,
    machines_kept,
    permitted,
    projects,
    rules,
    tokens,
)
from ostiary.doors.servers.control.authorities import HOST, USER
from ostiary.doors.servers.control.database import translated
from ostiary.doors.servers.control.endpoint import Call, Endpoint
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.projects import Project
from ostiary.doors.servers.control.rules_wire import from_wire, to_wire
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.control.tables import servers as servers_table
from ostiary.doors.servers.wire import admin
from ostiary.errors import Denied
from ostiary.model.server_numbers import number_warnings


def listed(services: Services, call: Call) -> admin.Projects:
    with translated("cannot list projects"), services.database.reading() as connection:
        return admin.Projects(
            tuple(
                described(connection, one)
                for one in projects.every(connection)
                if permitted.is_owner(services, call.who, one)
            )
        )


def create(services: Services, call: Call) -> admin.Project:
    permitted.admin(services, call.who)
    asked: admin.NewProject = call.message
    made = (
        services.authorities.make(USER, asked.kms_key),
        services.authorities.make(HOST),
    )

    def work(connection: Connection, ledger: Ledger) -> admin.Project:
        project = projects.create(
            connection,
            ledger,
            asked.name,
            uid_start=asked.uid_start,
            gid_start=asked.gid_start,
            estate=asked.estate,
        )
        for one in made:
            authorities.keep(connection, ledger, project.id, one)
        return described(connection, project)

    return services.writer.write([], work, by(call))


def get(services: Services, call: Call) -> admin.Project:
    project = permitted.project(services, call.who, call.path["name"])
    with translated("cannot read the project"), services.database.reading() as connection:
        return described(connection, project)


def put(services: Services, call: Call) -> admin.Project:
    """Rules, settings, machines and mark, all at once or not at all.

    Owners may not say who owns, nor which estate, nor whose instances enroll, nor who a machine is that administers
    everything. What they may is judged by the project as it was read here: that must be what is written over.
    """
    project = permitted.project(services, call.who, call.path["name"])
    wanted: admin.ProjectWanted = call.message
    with translated("cannot read the project"), services.database.reading() as connection:
        held = machines_kept.of_project(connection, project.id)
    mine = (_given(project.settings), project.estate, _administering(services, held))
    theirs = (_given(wanted.settings), wanted.estate, _administering(services, wanted.machines))
    if theirs != mine:
        permitted.admin(services, call.who)

    named = {one.name for one in (*held, *wanted.machines)}

    def work(connection: Connection, ledger: Ledger) -> admin.Project:
        projects.expect(connection, project, wanted.generation, project.generation)
        projects.put_settings(connection, ledger, project, wanted.settings)
        projects.put_estate(connection, ledger, project, wanted.estate)
        rules.put(connection, ledger, project, [from_wire(one) for one in wanted.rules])
        machines_kept.put(connection, ledger, project, wanted.machines)
        return described(connection, projects.by_id(connection, project.id))

    return services.writer.write(_concerned(services, project, named), work, by(call))


def _concerned(services: Services, project: Project, names: Iterable[str]) -> list[str]:
    """The projects whose audits are written when machines of these names are signed out, and this one."""
    with translated("cannot read the project"), services.database.reading() as connection:
        return sorted({project.id, *machines_kept.entered(connection, names)})


def _given(settings: admin.Settings) -> tuple[tuple[str, ...], ...]:
    """What administrators alone give a project: who owns it, and the accounts whose instances are its servers."""
    return settings.owners, settings.accounts


def _administering(services: Services, some: Iterable[admin.Machine]) -> set[admin.Machine]:
    return {one for one in some if one.name in services.admin_machines}


def delete(services: Services, call: Call) -> None:
    permitted.admin(services, call.who)
    project = permitted.project(services, call.who, call.path["name"])
    with translated("cannot read the project"), services.database.reading() as connection:
        named = {one.name for one in machines_kept.of_project(connection, project.id)}

    def work(connection: Connection, ledger: Ledger) -> None:
        for machine in machines_kept.of_project(connection, project.id):
            machines_kept.sign_out(connection, ledger, machine.name)
        projects.remove(connection, ledger, project)

    services.writer.write(_concerned(services, project, named), work, by(call))


def list_tokens(services: Services, call: Call) -> admin.Tokens:
    project = permitted.project(services, call.who, call.path["name"])
    with translated("cannot list tokens"), services.database.reading() as connection:
        return admin.Tokens(tokens.of_project(connection, project))


def make_token(services: Services, call: Call) -> admin.MadeToken:
    project = permitted.project(services, call.who, call.path["name"])
    asked: admin.NewToken = call.message

    def work(connection: Connection, ledger: Ledger) -> tuple[str, str]:
        projects.expect_kept(connection, project)
        return tokens.make(connection, ledger, project, uses=asked.uses, seconds=asked.seconds)

    token_id, token = services.writer.write([project.id], work, by(call))
    return admin.MadeToken(token_id, token)


def revoke_token(services: Services, call: Call) -> None:
    project = permitted.project(services, call.who, call.path["name"])
    token_id = call.path["id"]
    services.writer.write(
        [project.id],
        lambda connection, ledger: tokens.revoke(connection, ledger, project, token_id),
        by(call),
    )


def list_servers(services: Services, call: Call) -> admin.ServersHeld:
    project = permitted.project(services, call.who, call.path["name"])
    table = servers_table
    query = select(table).where(table.c.project_id == project.id).order_by(table.c.name)
    with translated("cannot list servers"), services.database.reading() as connection:
        return admin.ServersHeld(tuple(_held(row) for row in connection.execute(query)))


def retire(services: Services, call: Call) -> None:
    server = permitted.server(services, call.who, call.path["id"])
    services.writer.write(
        [server.project_id],
        lambda connection, ledger: inventory.retire(connection, ledger, server),
        by(call),
    )


def release(services: Services, call: Call) -> None:
    server = permitted.server(services, call.who, call.path["id"])
    if server.state == inventory.RETIRED:
        raise Denied(f"cannot release {server.name}", why="it is retired", code="retired")
    services.writer.write(
        [server.project_id],
        lambda connection, ledger: inventory.release(connection, ledger, server),
        by(call),
    )


def by(call: Call) -> str:
    """Who asks, for the audit."""
    return call.who.person.login


def described(connection: Connection, project: Project) -> admin.Project:
    """A project as administrators see it."""
    return admin.Project(
        id=project.id,
        name=project.name,
        uid_start=project.uid_start,
        gid_start=project.gid_start,
        uid_next=project.uid_next,
        gid_next=project.gid_next,
        generation=project.generation,
        estate=project.estate,
        settings=project.settings,
        rules=tuple(to_wire(one) for one in rules.of_project(connection, project.id)),
        machines=machines_kept.of_project(connection, project.id),
        authorities=tuple(
            admin.Authority(one.id, one.use, one.state, one.public_key, one.kms_key, one.created)
            for one in authorities.of_project(connection, project.id)
        ),
        warnings=number_warnings(project.uid_next, project.gid_next),
    )


def _held(row: Row[Any]) -> admin.ServerHeld:
    told = json.loads(row.report)
    labels = json.loads(row.labels)
    return admin.ServerHeld(
        id=row.id,
        name=row.name,
        address=row.address,
        port=row.port,
        bastion=row.bastion,
        state=row.state,
        labels=tuple(admin.Label(key, value) for key, value in sorted(labels.items())),
        enrolled=row.enrolled,
        last_seen=row.last_seen,
        clock_offset=row.clock_offset,
        applied=row.applied,
        trusted=tuple(told.get("trusted", ())),
        problems=tuple(told.get("problems", ())),
        other_ways=tuple(told.get("other_ways", ())),
    )


ENDPOINTS = (
    Endpoint("GET", "/v1/projects", listed),
    Endpoint("POST", "/v1/projects", create, takes=admin.NewProject),
    Endpoint("GET", "/v1/projects/{name}", get),
    Endpoint("PUT", "/v1/projects/{name}", put, takes=admin.ProjectWanted),
    Endpoint("DELETE", "/v1/projects/{name}", delete),
    Endpoint("GET", "/v1/projects/{name}/tokens", list_tokens),
    Endpoint("POST", "/v1/projects/{name}/tokens", make_token, takes=admin.NewToken),
    Endpoint("DELETE", "/v1/projects/{name}/tokens/{id}", revoke_token),
    Endpoint("GET", "/v1/projects/{name}/servers", list_servers),
    Endpoint("POST", "/v1/servers/{id}/retire", retire),
    Endpoint("POST", "/v1/servers/{id}/release", release),
)
