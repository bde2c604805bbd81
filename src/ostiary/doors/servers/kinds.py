"""What the servers of an estate add to its plan: projects, read and written through the control plane."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from ostiary.doors.servers import desired
from ostiary.doors.servers.client import credentials, place
from ostiary.doors.servers.client.control_api import Authorize, Control
from ostiary.doors.servers.project_found import GIVEN_ONCE, opens, shuts
from ostiary.doors.servers.project_kind import Calls, ProjectKind, rotation
from ostiary.doors.servers.wire.admin import Projects, ServersHeld, Status
from ostiary.doors.servers.wire.paths import project_path
from ostiary.errors import Denied, EstateError, UsageError
from ostiary.model.estate import Estate, resolve
from ostiary.model.estate_servers import SCOPE, control_defect
from ostiary.model.server_numbers import number_warnings
from ostiary.plan.change import Change
from ostiary.plan.plan import Plan
from ostiary.plan.resource import Kind, Resource

CERTIFICATE_BEGAN = 60.0  # seconds ago, for hosts whose clock is behind


@dataclass(frozen=True, slots=True)
class ServersPart:
    """A ``plan.part.Part``: the projects of one estate."""

    estate: Estate
    url: str
    control: Calls
    scope: str = SCOPE

    @property
    def title(self) -> str:
        return f"control plane {self.url}"

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return (ProjectKind(self.estate.name, self.control),)

    def resources(self, today: date) -> tuple[Resource, ...]:
        return desired.projects(self.estate, today)

    def warnings(self, today: date, made: Plan) -> tuple[str, ...]:
        """What has ended, and where the numbers of a project that is to be made meet others: they are given once.

        And by which account alone break-glass enters, where people have accounts for hours only; and where they have them
        at all times again.
        """
        servers = self.estate.servers
        new = [
            servers.projects[change.key.name]
            for change in made.changes
            if servers and change.key.kind == desired.KIND and change.action == "create"
        ]
        numbers = (
            f"{one.place}: project {one.name}: {line}"
            for one in new
            for line in number_warnings(one.uid_start, one.gid_start)
        )
        shut = (
            f"{servers.projects[change.key.name].place}: project {change.key.name}: while nobody is preauthorized no"
            " person's account is open on its hosts, and break-glass enters by the account of agent enroll --break-glass-account alone"
            for change in made.changes
            if servers and change.key.kind == desired.KIND and _shuts(change)
        )
        opened = (
            f"{servers.projects[change.key.name].place}: project {change.key.name}: nobody needs a preauthorization any more:"
            " what is listed with + is theirs at all times"
            for change in made.changes
            if servers and change.key.kind == desired.KIND and _opens(change)
        )
        return (*desired.overdue(self.estate, today), *numbers, *shut, *opened)

    def problems(self, made: Plan) -> tuple[str, ...]:
        """Numbers and keys that were given when a project was made and are wanted otherwise now."""
        servers = self.estate.servers
        lines = []
        for change in made.changes:
            if change.key.kind != desired.KIND or servers is None or change.before is None:
                continue
            place_ = servers.projects[change.key.name].place if change.after else ""
            for name in GIVEN_ONCE:
                if name in change.differing:
                    is_, asked = change.before.get(name), (change.after or {}).get(name)
                    hint = f"; to change it run: {rotation(change.key.name, asked)}"
                    lines.append(
                        f"{place_}: {name} of project {change.key.name!r} is {is_!r} and is given once,"
                        f" not {asked!r}{hint if name == 'kms' else ''}"
                    )
        return tuple(lines)

    def checks(self, purpose: str) -> tuple[tuple[str, bool | None, str], ...]:
        """That somebody is signed in and sees the projects; for plan also whether it is well."""
        listed: Projects = self.control.call("GET", "/v1/projects", kind=Projects)
        seen = {one.name for one in listed.projects}
        servers = self.estate.servers
        hidden = [name for name in (servers.projects if servers else ()) if name not in seen]
        sees = f"sees {len(seen)} of the projects"
        ask = f"not there yet, or not yours to see: {', '.join(hidden)}" if hidden else ""
        found: list[tuple[str, bool | None, str]] = [(sees, None if hidden else True, ask)]
        if purpose == "plan":
            status: Status = self.control.call("GET", "/v1/status", kind=Status)
            ask = "run: ostiary servers status"
            found += ((problem, False, ask) for problem in status.problems)
            wanted = servers.projects if servers else ()
            found += self._clocks(sorted(seen.intersection(wanted)))
        return tuple(found)

    def _clocks(self, projects: Sequence[str]) -> Iterator[tuple[str, bool | None, str]]:
        """Hosts whose clock is off: a certificate begins a minute ago and ends in two."""
        for project in projects:
            path = f"{project_path(project)}/servers"
            held: ServersHeld = self.control.call("GET", path, kind=ServersHeld)
            for one in held.servers:
                if one.clock_problem and one.state == "active":
                    is_ok = None if abs(one.clock_offset) < CERTIFICATE_BEGAN else False
                    ask = f"let {one.name} keep time (chrony, systemd-timesyncd)"
                    yield f"{project}/{one.name}: {one.clock_problem}", is_ok, ask

    def close(self) -> None:
        if isinstance(self.control, Control):
            self.control.close()


def _shuts(change: Change) -> bool:
    """Whether people need a preauthorization after it and not before."""
    if not change.writes or change.after is None:
        return False
    return shuts(change.before or {"settings": {}}, change.after)


def _opens(change: Change) -> bool:
    """Whether people needed a preauthorization before it and need none after."""
    if not change.writes or change.before is None or change.after is None:
        return False
    return opens(change.before, change.after)


def open_part(estate: Estate, environ: Mapping[str, str] | None = None) -> ServersPart:
    """The servers of an estate that has some. Sends nothing yet; errors of signing in come with the first call."""
    environ = os.environ if environ is None else environ
    if estate.servers is None:
        raise EstateError(f"estate {estate.name} has no servers", fix="add a servers section")
    url = resolve(estate.servers.control, environ).rstrip("/")
    if defect := control_defect(url):
        raise UsageError(
            "cannot use the control plane of the estate", why=defect, fix="correct servers.control"
        )
    return ServersPart(estate, url, open_control(estate, url, environ))


def open_control(estate: Estate, url: str, environ: Mapping[str, str]) -> Control:
    """The control plane at ``url``. Its token goes to nobody else: it is of who signed in to this very one."""
    profile = place.read_profile(environ)
    named = (
        resolve(estate.servers.ca_file, environ)
        if estate.servers and estate.servers.ca_file
        else ""
    )
    same = profile.control == url
    ca_file = named or (profile.ca if same else environ.get("OSTIARY_CONTROL_CA", ""))
    token_file = "OSTIARY_CONTROL_TOKEN_FILE" in environ
    return Control(url, ca_file, credentials.source(environ) if same else _nobody(url, token_file))


def _nobody(url: str, token_file: bool) -> Authorize:
    def refuse(_method: str, _path: str, _body: bytes) -> Mapping[str, str]:
        raise Denied(
            f"not signed in to the control plane at {url}",
            why="OSTIARY_CONTROL does not say that the token of OSTIARY_CONTROL_TOKEN_FILE is for it"
            if token_file
            else "who signed in here did so at another one, or nobody did",
            fix=f"export OSTIARY_CONTROL={url}"
            if token_file
            else f"run: ostiary login --control {url}",
            code="not-signed-in",
        )

    return refuse
