"""The states of all hosts in one process: decided once per generation and set of labels, rendered once per server.

An answer keeps the generation at which its content was new here, so a host whose content did not change hears nothing
although its project moved. Of the generations in between others may know more: another process, asked then, may have told
the host of somebody who is gone by now. So only who holds the first or the last of them holds what is told.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import msgspec
from sqlalchemy import Connection

from ostiary.doors.servers.control import local_groups, local_users, projects
from ostiary.doors.servers.control.host_state import generation, groups_of, host_state
from ostiary.doors.servers.control.inventory import Server
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.view import View, read
from ostiary.doors.servers.control.writer import Writer
from ostiary.doors.servers.wire.host import HostState


@dataclass(frozen=True, slots=True)
class Missing:
    """Who may enter, or pass through, and which groups they come by, without numbers yet: ids and names."""

    people: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What a server should hold: ``state``, whose content is the same at the generation ``until``; in between it may have been
    another.
    """

    project_generation: int
    server: Server
    until: int
    digest: bytes
    state: HostState

    def is_held(self, generation: int) -> bool:
        """Whether a host holds it that holds what some process told it at this generation."""
        return generation in (self.state.generation, self.until)


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

    def missing(self, view: View, server: Server) -> Missing | None:
        """What has no numbers yet; None when nothing has none."""
        now = self._clock()
        inside = view.entitled(server, now)
        behind = (view.entitled(one, now) for one in view.behind.get(server.name, ()))
        people = {one.id for some in (inside, *behind) for one, _ in some} - view.locals.keys()
        groups = {one for _, access in inside for one in groups_of(access)} - view.groups.keys()
        return Missing(tuple(sorted(people)), tuple(sorted(groups))) if people or groups else None

    def number(self, project_id: str, missing: Missing) -> None:
        """Make LocalUsers and LocalGroups."""
        work = partial(_number, project_id=project_id, missing=missing)
        self._writer.write([project_id], work)

    def numbered(self, server: Server) -> View:
        """A view in which nothing is missing, read where nobody else comes in between: in the writer's own transaction."""

        def work(connection: Connection, ledger: Ledger) -> View:
            view = read(connection, projects.by_id(connection, server.project_id))
            missing = self.missing(view, server)
            if missing is None:
                return view
            _number(connection, ledger, server.project_id, missing)
            return read(connection, projects.by_id(connection, server.project_id))

        return self._writer.write([server.project_id], work)

    def made(self, view: View, server: Server) -> Told:
        """The state by ``view``, with the generation at which its content was new."""
        state = host_state(view, server, self._clock())
        digest = hashlib.sha256(msgspec.json.encode(replace(state, generation=0))).digest()
        with self._lock:
            before = self._told.get(server.id)
            if before is not None and before.digest == digest:
                state = before.state
            until = generation(view, server)
            told = Told(view.project.generation, server, until, digest, state)
            self._told[server.id] = told
        return told

    def anew(self, told: Told) -> Told:
        """The same for a host that holds something of in between: it takes nothing that is older."""
        said = replace(told, state=replace(told.state, generation=told.until))
        with self._lock:
            if self._told.get(told.server.id) is told:
                self._told[told.server.id] = said
        return said


def _number(connection: Connection, ledger: Ledger, project_id: str, missing: Missing) -> None:
    for one in missing.people:
        local_users.of(connection, ledger, project_id, one)
    for one in missing.groups:
        local_groups.of(connection, ledger, project_id, one)


def _content(server: Server) -> tuple[str, str, str]:
    return server.host_certificate, server.state, server.name
