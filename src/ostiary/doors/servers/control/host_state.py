"""What a host should hold: who may enter, as whom, by which way, and which authorities it believes. Pure."""

from __future__ import annotations

from ostiary.doors.servers.control.authorities import BREAK_GLASS, USER, trusted
from ostiary.doors.servers.control.inventory import Server
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.rules_wire import sudo_to_wire
from ostiary.doors.servers.control.view import View
from ostiary.doors.servers.wire.host import Entry, HostState, HostUser, SudoRule
from ostiary.model.server_access import ServerAccess

POLL_SECONDS = 30
ALL = SudoRule("admin", ("ALL",))
_GROUP = "group:"


def generation(view: View, server: Server) -> int:
    """What a host counts by: both parts only grow, and with each news one of them does."""
    return view.project.generation + server.renewals


def host_state(view: View, server: Server, now: float) -> HostState:
    """All that ``server`` should hold by ``view``. Pure.

    In quarantine it goes on holding its people: nobody gets a certificate for it, but break-glass enters as one of them.
    """
    inside = dict(_by_id(view, server, now))
    hops: dict[str, list[Server]] = {}
    persons = {person.id: person for person, _ in inside.values()}
    for behind in view.behind.get(server.name, ()):
        for person, _ in view.entitled(behind, now):
            persons[person.id] = person
            hops.setdefault(person.id, []).append(behind)
    users = (
        _user(view, server, one, inside[one.id][1] if one.id in inside else None, hops)
        for one in persons.values()
    )
    named = sorted({one for _, access in inside.values() for one in groups_of(access)})
    return HostState(
        generation=generation(view, server),
        server_id=server.id,
        project=view.project.name,
        users=tuple(sorted(users, key=lambda one: one.uid)),
        groups=tuple(view.groups[one] for one in named),
        authorities=trusted(view.authorities, USER),
        break_glass=trusted(view.authorities, BREAK_GLASS),
        host_certificate=server.host_certificate,
        poll_seconds=POLL_SECONDS,
        other_ways=view.project.settings.other_ways,
    )


def _by_id(view: View, server: Server, now: float) -> list[tuple[str, tuple[Person, ServerAccess]]]:
    return [(one.id, (one, access)) for one, access in view.entitled(server, now)]


def _user(
    view: View,
    server: Server,
    person: Person,
    access: ServerAccess | None,
    hops: dict[str, list[Server]],
) -> HostUser:
    local = view.locals[person.id]
    principal = f"{local.login}@{server.id}"
    entries = []
    sudo: tuple[SudoRule, ...] = ()
    if access is not None:
        sudo = (ALL,) if access.admin else tuple(sudo_to_wire(one) for one in access.sudo)
        entries.append(
            Entry(
                principal,
                forward=access.forward,
                agent_forwarding=access.agent_forwarding,
                x11=access.x11,
                sftp_only=access.sftp_only,
            )
        )
    if behind := hops.get(person.id):
        targets = tuple(sorted(target(one) for one in behind))
        entries.append(Entry(f"{principal}.hop", hop=True, forward=targets))
    return HostUser(
        login=local.login,
        uid=local.uid,
        gid=local.gid,
        comment="".join(one for one in person.login if one.isprintable() and one not in ":,"),
        groups=tuple(view.groups[one].name for one in groups_of(access)) if access else (),
        sudo=sudo,
        entries=tuple(entries),
        max_session=access.max_session if access else 0,
    )


def groups_of(access: ServerAccess) -> tuple[str, ...]:
    """The Okta groups by which somebody may enter."""
    return tuple(one[len(_GROUP) :] for one in access.because if one.startswith(_GROUP))


def target(server: Server) -> str:
    """Where a bastion reaches a server: ``HOST:PORT``, an IPv6 address in brackets."""
    host = f"[{server.address}]" if ":" in server.address else server.address
    return f"{host}:{server.port}"
