"""How the control plane is: for people (``/v1/status``), for load balancers (``/healthz``), and devices."""

from __future__ import annotations

from sqlalchemy import func, select

from ostiary import __version__
from ostiary.doors.servers.control import permitted, sessions
from ostiary.doors.servers.control.database import translated
from ostiary.doors.servers.control.endpoint import NOBODY, Call, Endpoint
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.control.tables import cursors, devices, people
from ostiary.doors.servers.wire.admin import Device, Devices, Status


def status(services: Services, _: Call) -> Status:
    with translated("cannot read the status"), services.database.reading() as connection:
        interval = connection.scalar(select(func.max(cursors.c.interval))) or 0.0
    read = services.freshness.read_at()
    problems = (*services.problems(), *services.freshness.problems(services.clock()))
    kind = services.database.engine.dialect.name
    return Status(__version__, kind, read, interval, problems)


def alive(services: Services, _: Call) -> None:
    """204 while the database answers; 503 otherwise."""
    with translated("cannot reach the database"), services.database.reading() as connection:
        connection.execute(select(1))


def list_devices(services: Services, call: Call) -> Devices:
    """One's own; of everybody for an administrator."""
    query = select(devices, people.c.login).join(people, people.c.id == devices.c.person_id)
    if not permitted.is_admin(services, call.who):
        query = query.where(devices.c.person_id == call.who.person.id)
    with translated("cannot list devices"), services.database.reading() as connection:
        rows = connection.execute(query.order_by(people.c.login, devices.c.first_seen))
        return Devices(
            tuple(
                Device(row.id, row.login, row.name, row.state, row.first_seen, row.last_seen)
                for row in rows
            )
        )


def revoke_device(services: Services, call: Call) -> None:
    of = None if permitted.is_admin(services, call.who) else call.who.person.id
    device_id = call.path["id"]
    services.writer.write([], lambda connection, _: sessions.revoke(connection, device_id, of))


ENDPOINTS = (
    Endpoint("GET", "/healthz", alive, NOBODY),
    Endpoint("GET", "/v1/status", status),
    Endpoint("GET", "/v1/devices", list_devices),
    Endpoint("DELETE", "/v1/devices/{id}", revoke_device),
)
