"""What a process remembers of a project: all that decides who may enter what, as of one generation.

Whatever a host should know of makes the generation grow; so what was read for one generation is good until the next,
and a request costs one small query.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sqlalchemy import Connection

from ostiary.doors.servers.control import (
    authorities,
    inventory,
    local_groups,
    local_users,
    machines_kept,
    people,
    preauthorizations_kept,
    projects,
    rules,
)
from ostiary.doors.servers.control.authorities import Authority
from ostiary.doors.servers.control.inventory import Server
from ostiary.doors.servers.control.local_users import Local
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.preauthorizations_kept import Whose
from ostiary.doors.servers.control.projects import Project
from ostiary.doors.servers.wire.host import HostGroup
from ostiary.model.preauthorization import (
    REQUIRED,
    Preauthorization,
    good_one,
    needs_one,
    same_login,
)
from ostiary.model.server_access import Rule, ServerAccess, decide

MACHINE = "machine:"
_NOTHING = ServerAccess()
READINGS = 5  # of a project that changes meanwhile; the last is as new as its generation at least
MOST_GRANTED = 10_000  # decisions that are remembered: labels of a server are for its life


@dataclass(frozen=True)
class View:
    """``people`` are the active ones that some rule names; ``behind`` the servers reached through one, by its name.

    ``preauthorized`` are the preauthorizations by whose they are, None where the project requires none. What is remembered is
    what rules give alone: whether they count is decided anew each time, for one server and moment.
    """

    project: Project
    rules: tuple[Rule, ...]
    authorities: tuple[Authority, ...]
    people: tuple[Person, ...]
    locals: Mapping[str, Local]
    groups: Mapping[str, HostGroup]
    behind: Mapping[str, tuple[Server, ...]]
    preauthorized: Mapping[Whose, tuple[Preauthorization, ...]] | None = None
    _held: dict[tuple[str, str], tuple[Preauthorization, ...]] = field(default_factory=dict)
    _granted: dict[tuple[str, tuple[str, ...], str], ServerAccess] = field(default_factory=dict)
    _decided: dict[tuple[tuple[str, str], ...], tuple[tuple[Person, ServerAccess], ...]] = field(
        default_factory=dict
    )

    def access(self, person: Person, server: Server, now: float) -> ServerAccess:
        """What a person may do on a server now."""
        return self.by_rules(person, server, now) if self.counts(person, server, now) else _NOTHING

    def counts(self, person: Person, server: Server, now: float) -> bool:
        """Whether the rules of a person count on a server now. Who is a person is told by the id: logins are given anew."""
        if self.preauthorized is None or not needs_one(person.id):
            return True
        return self.preauthorization(person, server, now) is not None

    def preauthorization(
        self, person: Person, server: Server, now: float
    ) -> Preauthorization | None:
        """By which the rules of a person count on a server now; None where none is good, or none is required."""
        return good_one(mine, server.id, now) if (mine := self._standing(person)) else None

    def _standing(self, person: Person) -> tuple[Preauthorization, ...]:
        """All of a person's that were not over when this was read."""
        if not self.preauthorized:
            return ()
        asked = (person.id, person.login)
        found = self._held.get(asked)
        if found is None:
            mine, unbound = Whose(person.id), Whose(login=same_login(person.login))
            found = (*self.preauthorized.get(mine, ()), *self.preauthorized.get(unbound, ()))
            self._held[asked] = found
        return found

    def _may_count(self, person: Person) -> bool:
        """Whether there is anything by which the rules of a person may count on some server."""
        free = self.preauthorized is None or not needs_one(person.id)
        return free or bool(self._standing(person))

    def by_rules(self, person: Person, server: Server, now: float) -> ServerAccess:
        """What rules give, whether they count or not."""
        if self._is_passing:
            return decide(self.rules, person.login, person.groups, server.labels, now)
        asked = (person.login, person.groups, server.id)
        found = self._granted.get(asked)
        if found is None:
            if len(self._granted) >= MOST_GRANTED:
                self._granted.clear()
            found = decide(self.rules, person.login, person.groups, server.labels, now)
            self._granted[asked] = found
        return found

    @cached_property
    def _is_passing(self) -> bool:
        """Whether some rule holds for a time only."""
        return any(rule.until is not None for rule in self.rules)

    def entitled(self, server: Server, now: float) -> tuple[tuple[Person, ServerAccess], ...]:
        """Everybody who may enter a server, and what they may there. One decision for all servers of the same labels.

        It holds until a rule ends, and then the generation grows too.
        """
        labels = tuple(sorted(server.labels.items()))
        if labels not in self._decided:
            some = (one for one in self.people if self._may_count(one))
            decided = ((one, self.by_rules(one, server, now)) for one in some)
            self._decided[labels] = tuple((one, access) for one, access in decided if access.login)
        if self.preauthorized is None:
            return self._decided[labels]
        return tuple(one for one in self._decided[labels] if self.counts(one[0], server, now))

    @cached_property
    def trusted_hosts(self) -> tuple[str, ...]:
        """The authorities that sign the project's host certificates."""
        return authorities.trusted(self.authorities, authorities.HOST)


class Views:
    """The latest view of each project. Threads may share it."""

    def __init__(self) -> None:
        self._views: dict[str, View] = {}
        self._lock = threading.Lock()

    def of(self, connection: Connection, project: Project) -> View:
        """The view of a project that was read just now."""
        return self._known(project.id, project.generation) or self._new(connection, project)

    def at(self, connection: Connection, project_id: str, generation: int) -> View:
        """The view of a project whose generation was read just now."""
        known = self._known(project_id, generation)
        return known or self._new(connection, projects.by_id(connection, project_id))

    def _known(self, project_id: str, generation: int) -> View | None:
        known = self._views.get(project_id)
        return known if known is not None and known.project.generation == generation else None

    def _new(self, connection: Connection, project: Project) -> View:
        with self._lock:
            known = self._views.get(project.id)
            if known is None or known.project.generation < project.generation:
                known = self._views[project.id] = read(connection, project)
            return known


def read(connection: Connection, project: Project) -> View:
    """All of a project as of one generation. Each query sees a moment of its own: where the generation moved meanwhile, all
    is read again, so that no host is taken to hold what it was never told.
    """
    for _ in range(READINGS):
        view = _read(connection, project)
        now = projects.by_id(connection, project.id)
        if now.generation == project.generation:
            break
        project = now
    return view


def _read(connection: Connection, project: Project) -> View:
    machines = {one.name for one in machines_kept.of_project(connection, project.id)}
    held = tuple(
        one
        for one in rules.of_project(connection, project.id)
        if _machine_of(one) in ("", *machines)
    )
    subjects = {rule.subject for rule in held}
    behind: dict[str, tuple[Server, ...]] = {}
    for server in inventory.every(connection, project.id):
        if server.bastion and server.state == inventory.ACTIVE:
            behind[server.bastion] = (*behind.get(server.bastion, ()), server)
    return View(
        project,
        held,
        authorities.of_project(connection, project.id),
        tuple(one for one in people.every(connection) if one.active and _named(one, subjects)),
        local_users.of_project(connection, project.id),
        local_groups.of_project(connection, project.id),
        behind,
        preauthorizations_kept.standing(connection, project.id)
        if project.settings.preauthorization == REQUIRED
        else None,
    )


def _machine_of(rule: Rule) -> str:
    """The machine that a rule means, "" for none. It is one of the rule's own project: another may have one of that name."""
    name = rule.subject.removeprefix("user:")
    return name.removeprefix(MACHINE) if name.startswith(MACHINE) else ""


def _named(person: Person, subjects: set[str]) -> bool:
    own = {person.login, f"user:{person.login}", *(f"group:{name}" for name in person.groups)}
    return not subjects.isdisjoint(own)
