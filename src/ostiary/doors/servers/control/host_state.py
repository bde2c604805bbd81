"""What each host should hold: who may enter, as whom, by which way, and which authorities it believes.

Decided once per project's generation and set of labels, rendered once per server. An answer keeps the generation at
which its content was new, so a host whose content did not change hears nothing although its project moved.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ostiary.doors.servers.control import inventory, local_users
from ostiary.doors.servers.control.authorities import BREAK_GLASS, USER, trusted
from ostiary.doors.servers.control.inventory import Server
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.rules_wire import sudo_to_wire
from ostiary.doors.servers.control.view import View
from ostiary.doors.servers.control.writer import Writer
from ostiary.doors.servers.wire.host import Entry, HostState, HostUser, SudoRule
from ostiary.doors.servers.wire.message import encode
from ostiary.model.server_access import ServerAccess

POLL_SECONDS = 30
ALL = SudoRule("admin", ("ALL",))


@dataclass(frozen=True, slots=True)
class Told:
    """What a server should hold: ``state``, whose content has not changed up to the generation ``until``."""

    project_generation: int
    server: Server
    until: int
    digest: bytes
    state: HostState


class HostStates:
    """The states of all hosts, for all threads of this process."""

    def __init__(self, writer: Writer, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._clock = clock
        self._told: dict[str, Told] = {}
        self._lock = threading.Lock()

    def known(self, server: Server, generation: int) -> Told | None:
        """What was told of a server at this generation of its project, if it was."""
        told = self._told.get(server.id)
        same = told is not None and told.project_generation == generation
        return told if told and same and _content(told.server) == _content(server) else None

    def missing(self, view: View, server: Server) -> list[str]:
        """The ids of those who may enter, or pass through, and have no numbers yet."""
        ways = (server, *view.behind.get(server.name, ()))
        now = self._clock()
        entitled = {person.id for one in ways for person, _ in view.entitled(one, now)}
        return sorted(entitled - view.locals.keys())

    def number(self, project_id: str, person_ids: Sequence[str]) -> None:
        """Make LocalUsers for people."""
        self._writer.write(
            [project_id],
            lambda connection, ledger: [
                local_users.of(connection, ledger, project_id, one) for one in person_ids
            ],
        )

    def made(self, view: View, server: Server) -> Told:
        """The state by ``view``, with the generation at which its content was new."""
        state = host_state(view, server, self._clock())
        digest = hashlib.sha256(encode(replace(state, generation=0))).digest()
        with self._lock:
            before = self._told.get(server.id)
            if before is not None and before.digest == digest:
                state = before.state
            until = generation(view, server)
            told = Told(view.project.generation, server, until, digest, state)
            self._told[server.id] = told
        return told


def generation(view: View, server: Server) -> int:
    """What a host counts by: both parts only grow, and with each news one of them does."""
    return view.project.generation + server.renewals


def _content(server: Server) -> tuple[str, str, str]:
    return server.host_certificate, server.state, server.name


def host_state(view: View, server: Server, now: float) -> HostState:
    """All that ``server`` should hold by ``view``. Pure. A server that is not active holds nobody."""
    inside = dict(_by_id(view, server, now))
    hops: dict[str, list[Server]] = {}
    persons = {person.id: person for person, _ in inside.values()}
    for behind in view.behind.get(server.name, ()):
        for person, _ in view.entitled(behind, now):
            persons[person.id] = person
            hops.setdefault(person.id, []).append(behind)
    if server.state != inventory.ACTIVE:
        persons = {}
    users = (
        _user(view, server, one, inside[one.id][1] if one.id in inside else None, hops)
        for one in persons.values()
    )
    return HostState(
        generation=generation(view, server),
        server_id=server.id,
        project=view.project.name,
        users=tuple(sorted(users, key=lambda one: one.uid)),
        groups=(),
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
        sudo=sudo,
        entries=tuple(entries),
        max_session=access.max_session if access else 0,
    )


def target(server: Server) -> str:
    """Where a bastion reaches a server: ``HOST:PORT``, an IPv6 address in brackets."""
    host = f"[{server.address}]" if ":" in server.address else server.address
    return f"{host}:{server.port}"
