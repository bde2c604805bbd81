"""What owners ask about preauthorizations: ``wire/admin.py``."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from ostiary.doors.servers.control import (
    inventory,
    people,
    permitted,
    preauthorizations,
    preauthorizations_kept,
    projects,
)
from ostiary.doors.servers.control.api_projects import by
from ostiary.doors.servers.control.database import translated
from ostiary.doors.servers.control.endpoint import Call, Endpoint
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.projects import Project
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.control.view import View
from ostiary.doors.servers.wire import admin
from ostiary.model.preauthorization import REQUIRED, same_login
from ostiary.model.server_access import decide

MOST_AFTER = 40  # letters of an id


def listed(services: Services, call: Call) -> admin.Preauthorizations:
    project = permitted.project(services, call.who, call.path["name"])
    with translated("cannot list preauthorizations"), services.database.reading() as connection:
        after, good = call.query.get("after", ""), call.query.get("good", "") == "1"
        return preauthorizations_kept.page(
            connection, project.id, services.clock(), after=after[:MOST_AFTER], good=good
        )


def make(services: Services, call: Call) -> admin.Preauthorization:
    project = permitted.project(services, call.who, call.path["name"])
    asked: admin.NewPreauthorization = call.message

    def work(connection: Connection, ledger: Ledger) -> admin.Preauthorization:
        made = preauthorizations.make(connection, ledger, project, asked)
        return preauthorizations_kept.listed(connection, made, ledger.now)

    made = services.writer.write([project.id], work, by(call))
    with translated("cannot read the project"), services.database.reading() as connection:
        now = projects.by_id(connection, project.id)
        view = services.views.of(connection, now)
        return replace(made, warnings=tuple(_warnings(connection, now, view, made)))


def _warnings(
    connection: Connection, project: Project, view: View, made: admin.Preauthorization
) -> list[str]:
    """Why it may be of no use. Rules that are still to come are as good as those that are there."""
    found = []
    if project.settings.preauthorization != REQUIRED:
        found.append(f"project {project.name} requires none: {made.person} needs its rules alone")
    person = _meant(connection, made)
    if person is None:
        found.append(f"nobody has signed in as {made.person}: see that the login is right")
        return found
    labels = inventory.by_id(connection, made.server_id).labels if made.server_id else None
    rules = view.rules if made.server_id else [replace(one, servers=()) for one in view.rules]
    access = decide(rules, person.login, person.groups, labels or {}, made.created)
    if not person.active or not access.login:
        where = f"on {made.server}" if made.server else "anywhere"
        why = "" if person.active else ": Okta says that the person is not active"
        found.append(f"no rule of project {project.name} lets {made.person} in {where}{why}")
    return found


def _meant(connection: Connection, made: admin.Preauthorization) -> Person | None:
    """Whose rules it lets count: somebody who is active before whoever had the login and is gone."""
    meant = [
        one for one in people.every(connection) if same_login(one.login) == same_login(made.person)
    ]
    return max(meant, key=lambda one: (one.active, one.read), default=None)


def revoke(services: Services, call: Call) -> None:
    project = permitted.project(services, call.who, call.path["name"])
    known = call.path["id"]
    services.writer.write(
        [project.id],
        lambda connection, ledger: preauthorizations.revoke(connection, ledger, project, known),
        by(call),
    )


ENDPOINTS = (
    Endpoint("GET", "/v1/projects/{name}/preauthorizations", listed),
    Endpoint(
        "POST", "/v1/projects/{name}/preauthorizations", make, takes=admin.NewPreauthorization
    ),
    Endpoint("DELETE", "/v1/projects/{name}/preauthorizations/{id}", revoke),
)
