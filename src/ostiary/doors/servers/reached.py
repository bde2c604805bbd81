"""Who can enter which server, and why: answered from the rules that the control plane has and the groups of Okta. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ostiary.doors.servers.control.rules_wire import from_wire
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.words import day, duration, sentences
from ostiary.model.preauthorization import (
    REQUIRED,
    Preauthorization,
    good_one,
    needs_one,
    same_login,
)
from ostiary.model.server_access import ServerAccess, decide

NEEDS = "nothing: no preauthorization is good now"


@dataclass(frozen=True, slots=True)
class Judged:
    """One rule for one person and server. ``because`` says why it holds, or why it does not."""

    rule: str
    holds: bool
    because: str


@dataclass(frozen=True, slots=True)
class ServerReach:
    """What a person may do on one server of a project. ``server`` is "" where it has none yet.

    ``because`` are the groups and names whose rules gave it, ``rules`` all of the project's, those that hold first.
    ``after`` are the rights that the person would have with a preauthorization, where one is missing and nothing else.
    """

    project: str
    server: str
    server_id: str
    may: bool
    rights: tuple[str, ...]
    because: tuple[str, ...]
    rules: tuple[Judged, ...]
    after: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        return {
            "project": self.project,
            "server": self.server,
            "server_id": self.server_id,
            "may": self.may,
            "rights": list(self.rights),
            "because": list(self.because),
            "when_preauthorized": list(self.after),
            "rules": [
                {"rule": one.rule, "holds": one.holds, "because": one.because} for one in self.rules
            ],
        }


@dataclass(frozen=True, slots=True)
class ProjectSeen:
    """A project with its servers, and its preauthorizations where it requires them, as the control plane gives them."""

    project: admin.Project
    servers: tuple[admin.ServerHeld, ...]
    preauthorizations: tuple[admin.Preauthorization, ...] = ()


def reach(
    seen: ProjectSeen, person: str, groups: Collection[str], now: float
) -> Iterator[ServerReach]:
    """One answer for each server of a project that is not retired; one for the project where it has none."""
    present = [one for one in seen.servers if one.state != "retired"]
    if not present:
        yield _answer(seen, None, person, groups, now)
    for server in sorted(present, key=lambda one: one.name):
        yield _answer(seen, server, person, groups, now)


def _answer(
    seen: ProjectSeen,
    server: admin.ServerHeld | None,
    person: str,
    groups: Collection[str],
    now: float,
) -> ServerReach:
    project = seen.project
    labels = {one.key: one.value for one in server.labels} if server else None
    access = decide((from_wire(one) for one in project.rules), person, groups, labels or {}, now)
    quarantined = server is not None and server.state != "active"
    rules = [
        Judged(line, *_judge(rule, person, groups, labels, now))
        for rule in project.rules
        for line in sentences(rule)
    ]
    gate = _gate(seen, server, person, now) if access.login else None
    closed = gate is not None and not gate.holds
    rights: tuple[str, ...] = said(access)
    if server and quarantined:
        rights = (f"nothing: it is {server.state}",)
    elif closed:
        rights = (NEEDS,)
    return ServerReach(
        project=project.name,
        server=server.name if server else "",
        server_id=server.id if server else "",
        may=access.login and not quarantined and not closed,
        rights=rights,
        because=tuple(one.replace(":", " ", 1) for one in access.because),
        rules=(
            *([gate] if gate else ()),
            *sorted(rules, key=lambda one: (not one.holds, one.rule)),
        ),
        after=said(access) if closed and not quarantined else (),
    )


def _gate(
    seen: ProjectSeen, server: admin.ServerHeld | None, person: str, now: float
) -> Judged | None:
    """Whether the rules of a person count, and by which preauthorization; None where none is needed."""
    project = seen.project
    if project.settings.preauthorization != REQUIRED or not needs_one(person):
        return None
    rule = f"project {project.name} requires a preauthorization"
    held = {
        one.id: one
        for one in seen.preauthorizations
        if one.state == "good" and same_login(one.person) == same_login(person)
    }
    some = (Preauthorization(one.id, one.person, one.server_id, one.until) for one in held.values())
    found = good_one(some, server.id if server else "", now)
    if found is None:
        return Judged(rule, holds=False, because="none is good now")
    by = held[found.id]
    return Judged(
        rule, holds=True, because=f"{by.id} by {by.by} until {day(by.until)}: {by.reason}"
    )


def _judge(
    rule: admin.Rule,
    person: str,
    groups: Collection[str],
    labels: Mapping[str, str] | None,
    now: float,
) -> tuple[bool, str]:
    """As ``decide`` does, with the first thing that is missing. ``labels`` None where there is no server yet."""
    kind, _, name = rule.subject.partition(":")
    if kind == "group" and name not in groups:
        return False, f"not in group {name}"
    if kind != "group" and person != (name if kind == "user" else rule.subject):
        return False, f"it is of {kind} {name}"
    if rule.until and now >= rule.until:
        return False, f"it ended with {day(rule.until)}"
    for one in rule.servers:
        if labels is None:
            return False, f"a server with {one.key}={one.value} is not there yet"
        if labels.get(one.key) != one.value:
            there = f"{one.key}={labels[one.key]}" if one.key in labels else f"no {one.key}"
            return False, f"the server has {there}"
    return True, f"in group {name}" if kind == "group" else f"it is of this {kind}"


def said(access: ServerAccess) -> tuple[str, ...]:
    """The rights of a decision, for people."""
    if not access.login:
        return ()
    lines = ["sftp only" if access.sftp_only else "login"]
    lines += ["admin"] if access.admin else []
    lines += [f"sudo {rule.name}" for rule in access.sudo]
    lines += [f"forwarding to {target}" for target in access.forward]
    lines += ["agent forwarding"] if access.agent_forwarding else []
    lines += ["X11 forwarding"] if access.x11 else []
    lines += [f"sessions of {duration(access.max_session)} at most"] if access.max_session else []
    lines += [f"from {' '.join(access.source_address)}"] if access.source_address else []
    lines += [f"only the command {access.force_command!r}"] if access.force_command else []
    return tuple(lines)


def subjects(seen: Iterable[ProjectSeen]) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the groups, and logins or names of the others, that any rule speaks of."""
    all_ = {rule.subject for one in seen for rule in one.project.rules}
    groups = {one.partition(":")[2] for one in all_ if one.startswith("group:")}
    others = {
        one.removeprefix("user:") for one in all_ if not one.startswith("group:")
    }  # a machine keeps its prefix, as in decide
    return frozenset(groups), frozenset(others)
