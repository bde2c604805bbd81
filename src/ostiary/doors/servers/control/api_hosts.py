"""What hosts ask: ``wire/host.py``."""

from __future__ import annotations

from sqlalchemy import Connection

from ostiary.doors.servers.control import (
    host_certificate,
    host_proof,
    inventory,
    projects,
    reports,
    way_in,
)
from ostiary.doors.servers.control.database import translated
from ostiary.doors.servers.control.endpoint import HOST, NOBODY, Call, Endpoint, Wait
from ostiary.doors.servers.control.host_states import Told
from ostiary.doors.servers.control.inventory import Server
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.wire.host import Challenge, Enroll, Enrolled, HostReport, HostState
from ostiary.errors import NotFound, Throttled

LONGEST_WAIT = 25.0
ATTEMPTS = 10
FREE_ATTEMPTS = 2  # to number who is missing without holding up everybody else


def challenge(services: Services, _: Call) -> Challenge:
    now = services.clock()
    return Challenge(services.challenges.make(now), now)


def enroll(services: Services, call: Call) -> Enrolled:
    """By token or cloud identity, and with the proof of the host key that is enrolled. The host certificate is made at once."""
    asked: Enroll = call.message
    key = call.host.key
    if call.host.server_id or not _is(asked.host_key, key.text()):
        raise host_proof.refused("it is not by the key that is to be enrolled, or names a server")
    way = way_in.find(services, asked)
    with translated("cannot enroll"), services.database.reading() as connection:
        view = services.views.of(connection, projects.by_id(connection, way.project_id))
    signer = host_certificate.signer(services.authorities, view)

    def work(connection: Connection, ledger: Ledger) -> Enrolled:
        by = way.take(connection, ledger, asked)
        enrolled = inventory.enroll(
            connection,
            ledger,
            asked,
            key.text(),
            project_id=way.project_id,
            by=by,
            cloud=way.cloud,
        )
        server = inventory.by_id(connection, enrolled.server_id)
        host_certificate.renew(connection, ledger, server, signer)
        return enrolled

    return services.writer.write([way.project_id], work)


def state(services: Services, call: Call) -> HostState | Wait:
    """What the host should hold, or that it holds it. Numbers and certificates that are missing are made on the way."""
    told = _told(services, call.host.server_id)
    asked = _number(call.query.get("generation", "0"))
    if not told.is_held(asked):
        is_between = told.state.generation < asked < told.until
        return (services.states.anew(told) if is_between else told).state
    seconds = min(float(_number(call.query.get("wait", "0"))), LONGEST_WAIT)
    return Wait(told.server.project_id, told.project_generation, seconds)


def _told(services: Services, server_id: str) -> Told:
    """Read anew after each thing that was made: once for numbers, once for a certificate. More often while people come, for
    whom there are no numbers yet: then nobody else comes in between.
    """
    for attempt in range(ATTEMPTS):
        with translated("cannot read what a host should hold"), services.database.reading() as c:
            found = inventory.at_home(c, server_id)
            if found is None:
                raise NotFound("no server has this id", code="no-server")
            server, generation = found
            view = services.views.at(c, server.project_id, generation)
        if host_certificate.renew_if_due(services, server, view):
            continue
        if known := services.states.known(server, view.project.generation):
            return known
        if missing := services.states.missing(view, server):
            if attempt >= FREE_ATTEMPTS:
                return services.states.made(services.states.numbered(server), server)
            services.states.number(server.project_id, missing)
            continue
        return services.states.made(view, server)
    raise Throttled("cannot say what the host should hold", why="it changes too fast", code="busy")


def report(services: Services, call: Call) -> None:
    server = _server(services, call)
    told: HostReport = call.message
    services.writer.write(
        [server.project_id],
        lambda connection, ledger: reports.take(connection, ledger, server.id, told),
    )


def retire(services: Services, call: Call) -> None:
    server = _server(services, call)
    services.writer.write(
        [server.project_id],
        lambda connection, ledger: inventory.retire(connection, ledger, server),
    )


def _server(services: Services, call: Call) -> Server:
    if not call.host.server_id:
        raise host_proof.refused("it names no server")
    with translated("cannot look up the server"), services.database.reading() as connection:
        found = inventory.known(connection, call.host.server_id)
    if found is None:
        raise NotFound("no server has this id", code="no-server")
    return found


def _is(told: str, key: str) -> bool:
    return " ".join(told.split()[:2]) == key


def _number(text: str) -> int:
    """Digits, at most 18; anything else is 0."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0  # noqa: PLR2004


ENDPOINTS = (
    Endpoint("POST", "/v1/hosts/challenge", challenge, NOBODY, quick=True),
    Endpoint("POST", "/v1/hosts/enroll", enroll, HOST, Enroll, far=True),
    Endpoint("GET", "/v1/hosts/state", state, HOST),
    Endpoint("POST", "/v1/hosts/report", report, HOST, HostReport),
    Endpoint("POST", "/v1/hosts/retire", retire, HOST),
)
