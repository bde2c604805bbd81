"""What each host should hold: who may enter, as whom, by which way, and which authorities it believes.

Decided once per project's generation and set of labels, rendered once per server. An answer keeps the generation at
which its content was new, so a host whose content did not change hears nothing although its project moved.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from ostiary.doors.servers.control import inventory, local_users, projects
from ostiary.doors.servers.control.authorities import BREAK_GLASS, USER, trusted
from ostiary.doors.servers.control.database import Database, translated
from ostiary.doors.servers.control.inventory import Server
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.rules_wire import sudo_to_wire
from ostiary.doors.servers.control.view import View, Views
from ostiary.doors.servers.control.writer import Writer
from ostiary.doors.servers.wire.host import Entry, HostState, HostUser, SudoRule
from ostiary.doors.servers.wire.message import encode
from ostiary.model.server_access import ServerAccess

POLL_SECONDS = 30
ALL = SudoRule("admin", ("ALL",))


@dataclass(frozen=True, slots=True)
class _Told:
    """The last answer for a server: made of its project's ``seen`` generation, encoded, with the digest of the rest."""

    seen: int
    certificate: str
    digest: bytes
    state: HostState


class HostStates:
    """The states of all hosts, for all threads of this process."""

    def __init__(
        self, database: Database, writer: Writer, views: Views, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._writer = writer
        self._views = views
        self._clock = clock
        self._told: dict[str, _Told] = {}
        self._lock = threading.Lock()

    def of(self, server_id: str) -> HostState:
        """What the server should hold now. LocalUsers that are missing are made first."""
        with translated("cannot read what a host should hold"), self._database.reading() as reading:
            server = inventory.by_id(reading, server_id)
            project = projects.by_id(reading, server.project_id)
            told = self._told.get(server.id)
            fresh = told is not None and told.seen == project.generation
            if told is not None and fresh and told.certificate == server.host_certificate:
                return told.state
            view = self._views.of(reading, project)
        if missing := self._without_numbers(view, server):
            self._writer.write(
                [project.id],
                lambda connection, ledger: [
                    local_users.of(connection, ledger, project.id, one.id) for one in missing
                ],
            )
            return self.of(server_id)
        return self._rendered(view, server)

    def seen(self, server_id: str) -> int:
        """The project's generation up to which the last answer for a server holds; 0 before the first."""
        told = self._told.get(server_id)
        return told.seen if told else 0

    def _without_numbers(self, view: View, server: Server) -> list[Person]:
        ways = (server, *view.behind.get(server.name, ()))
        entitled = {p.id: p for one in ways for p, _ in view.entitled(one, self._clock())}
        return [one for one in entitled.values() if one.id not in view.locals]

    def _rendered(self, view: View, server: Server) -> HostState:
        state = host_state(view, server, self._clock())
        digest = hashlib.sha256(encode(replace(state, generation=0))).digest()
        with self._lock:
            told = self._told.get(server.id)
            if told is not None and told.digest == digest:
                state = told.state
            told = _Told(view.project.generation, server.host_certificate, digest, state)
            self._told[server.id] = told
        return state


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
        generation=view.project.generation,
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
