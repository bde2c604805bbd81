"""The questions of ``ostiary access`` about servers: asked of the control plane and of Okta, answered by ``reached``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from ostiary.doors.servers import preauthorized
from ostiary.doors.servers.project_kind import Calls
from ostiary.doors.servers.reached import ProjectSeen, ServerReach, reach, subjects
from ostiary.doors.servers.wire.admin import (
    Preauthorization,
    Project,
    Projects,
    ServersHeld,
)
from ostiary.doors.servers.wire.paths import project_path
from ostiary.errors import Denied, NotFound
from ostiary.model.preauthorization import REQUIRED

ACTIVE = "ACTIVE"


class PersonSeen(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def login(self) -> str: ...
    @property
    def status(self) -> str: ...


class GroupSeen(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


class ReadsOkta(Protocol):
    """One org, as ``okta.people.People``."""

    def people(self, logins: Iterable[str]) -> Mapping[str, PersonSeen]: ...
    def groups_of(self, user_id: str) -> Iterable[GroupSeen]: ...
    def exactly_one(self, name: str) -> GroupSeen | None: ...
    def group_members(self, group_id: str) -> Iterable[PersonSeen]: ...


@dataclass(frozen=True, slots=True)
class ServersOf:
    """What one person may do on servers. ``status`` is Okta's; who is not ACTIVE may nothing."""

    login: str
    status: str
    servers: tuple[ServerReach, ...]

    def as_json(self) -> dict[str, object]:
        servers = [one.as_json() for one in self.servers]
        return {"login": self.login, "status": self.status, "servers": servers}


class Questions:
    """``orgs`` are those of the estate; a person is looked for in each."""

    def __init__(self, control: Calls, orgs: Iterable[ReadsOkta]) -> None:
        self._control = control
        self._orgs = tuple(orgs)

    def why(self, login: str, target: str = "") -> ServersOf:
        """What ``login`` may do, and by which rules, on a server, a project, ``project/server``, or everywhere.

        NotFound for a person or a target that is not there.
        """
        seen = self._seen(target)
        if login.startswith("machine:"):
            return ServersOf(login, ACTIVE, self._reach(seen, login, frozenset(), target))
        for org in self._orgs:
            person = org.people([login]).get(login)
            if person is not None:
                groups = frozenset(one.name for one in org.groups_of(person.id))
                found = self._reach(seen, person.login, groups, target)
                if person.status != ACTIVE:
                    found = tuple(replace(one, may=False, rights=(), after=()) for one in found)
                return ServersOf(person.login, person.status, found)
        raise NotFound(
            f"no user {login} in the Okta orgs of this estate", fix="check the login in Okta"
        )

    def who(self, target: str) -> tuple[ServersOf, ...]:
        """Everybody who may enter a server or a project, or would with a preauthorization, each with what and why."""
        seen = self._seen(target)
        groups, others = subjects(seen)
        held: dict[str, set[str]] = {login: set() for login in others}
        status = dict.fromkeys(others, ACTIVE)
        for org in self._orgs:
            for name in sorted(groups):
                group = org.exactly_one(name)
                for person in org.group_members(group.id) if group else ():
                    held.setdefault(person.login, set()).add(name)
                    status[person.login] = person.status
            named = org.people(one for one in others if not one.startswith("machine:"))
            status |= {person.login: person.status for person in named.values()}
        answers = (
            ServersOf(
                login,
                status[login],
                tuple(
                    one for one in self._reach(seen, login, mine, target) if one.may or one.after
                ),
            )
            for login, mine in sorted(held.items())
            if status[login] == ACTIVE
        )
        return tuple(one for one in answers if one.servers)

    def _seen(self, target: str) -> list[ProjectSeen]:
        """The projects that may hold ``target``, with their servers. Denied for who administers none: what is there is not said."""
        seen = []
        projects = self._control.call("GET", "/v1/projects", kind=Projects).projects
        if not projects:
            raise Denied(
                "cannot read who may enter servers",
                why="you administer no project",
                fix="ask an owner of the project, or an administrator of the control plane",
                code="no-project",
            )
        for project in projects:
            path = f"{project_path(project.name)}/servers"
            held: ServersHeld = self._control.call("GET", path, kind=ServersHeld)
            seen.append(ProjectSeen(project, held.servers, self._preauthorizations(project)))
        wanted = [one for one in seen if _holds(one, target)]
        if not wanted:
            raise NotFound(
                f"no server or project is named {target}",
                why="none of the projects that you administer is or has one",
                fix="see them with: ostiary servers inventory"
                if any(one.servers for one in seen)
                else "see them with: ostiary servers project list",
            )
        return wanted

    def _preauthorizations(self, project: Project) -> tuple[Preauthorization, ...]:
        """Of a project that requires them; nobody needs those of others."""
        if project.settings.preauthorization != REQUIRED:
            return ()
        return preauthorized.listed(self._control, project.name, good=True)

    def _reach(
        self, seen: Iterable[ProjectSeen], login: str, groups: Iterable[str], target: str
    ) -> tuple[ServerReach, ...]:
        mine = frozenset(groups)
        answers = (one for some in seen for one in reach(some, login, mine, time.time()))
        return tuple(one for one in answers if _is_meant(one, target))


def _holds(seen: ProjectSeen, target: str) -> bool:
    name = seen.project.name
    servers = {
        word for one in seen.servers if one.state != "retired" for word in (one.name, one.id)
    }
    return target in ("", name, *servers, *(f"{name}/{one}" for one in servers))


def _is_meant(one: ServerReach, target: str) -> bool:
    words = ("", one.project, one.server, one.server_id)
    return target in (*words, f"{one.project}/{one.server}", f"{one.project}/{one.server_id}")
