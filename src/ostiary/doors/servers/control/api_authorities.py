"""Rotation over HTTP: ``POST /v1/projects/NAME/authorities``."""

from __future__ import annotations

from sqlalchemy import Connection

from ostiary.doors.servers.control import permitted, projects, rotation
from ostiary.doors.servers.control.api_projects import described
from ostiary.doors.servers.control.authorities import BREAK_GLASS, Authority
from ostiary.doors.servers.control.database import translated
from ostiary.doors.servers.control.endpoint import Call, Endpoint
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.wire.admin import Project, Rotation


def rotate(services: Services, call: Call) -> Project:
    """One step. Owners may; only administrators of everything change what lets in when everything is down, and whether KMS signs."""
    asked: Rotation = call.message
    if asked.use == BREAK_GLASS or asked.kms_key:
        permitted.admin(services, call.who)
    project = permitted.project(services, call.who, call.path["name"])
    live = _live(services, project.id, asked.use)
    if asked.step == "begin" and any(one.kms_key for one in live):
        permitted.admin(services, call.who)  # a key of the control plane's own would take that away
    made = rotation.prepare(services.authorities, project.name, asked, live)

    def work(connection: Connection, ledger: Ledger) -> Project:
        rotation.step(connection, ledger, project, asked, made)
        return described(connection, projects.by_id(connection, project.id))

    return services.writer.write([project.id], work, call.who.person.login)


def _live(services: Services, project_id: str, use: str) -> list[Authority]:
    with translated("cannot read authorities"), services.database.reading() as connection:
        return rotation.live(connection, project_id, use)


ENDPOINTS = (Endpoint("POST", "/v1/projects/{name}/authorities", rotate, takes=Rotation),)
