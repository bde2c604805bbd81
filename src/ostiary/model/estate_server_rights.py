"""The assignments of the estate whose ``may`` says what may be done on servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta

from ostiary.model.estate_fields import Fields, suggest
from ostiary.model.estate_server_shapes import LABEL, PROJECT_NAME, RULE_NAME
from ostiary.model.estate_servers import LONGEST
from ostiary.model.estate_yaml import Node, Type
from ostiary.model.server_access import Rule, SudoRule, faults
from ostiary.model.servers import MachineSettings, ServerAssignment, ServersSettings

PRINCIPALS = ("group", "user", "machine")


def speaks_of_servers(node: Node) -> bool:
    """Whether an item of ``assignments`` is of servers: its ``may`` is a mapping."""
    may = node.entries.get("may")
    return may is not None and may.type is Type.MAPPING


def parse_server_assignment(
    fields: Fields, servers: ServersSettings, sudo: Mapping[str, SudoRule]
) -> ServerAssignment:
    """One rule; what is wrong with it is among the problems."""
    for key in ("in", "not_in", "console"):
        if key in fields:
            fields.wrong(key, "means accounts; where on servers is said in may: servers")
    kind, principal = _principal(fields, servers.machines)
    rights = Fields(
        fields.entries["may"], "server_rights", f"may of {fields.where}", fields.problems
    )
    until = fields.day("until")
    machine = servers.machines.get(principal) if kind == "machine" else None
    projects = _known(rights, "login", PROJECT_NAME, servers.projects, "project")
    if machine and any(name != machine.project for name in projects):
        rights.wrong("login", f"must be {machine.project!r}: the project of machine {principal!r}")
    rule = _rule(f"{kind}:{principal}", rights, sudo, _end(until))
    return ServerAssignment(rule, projects, until, fields.text("reason") or "", fields.place)


def _principal(fields: Fields, machines: Mapping[str, MachineSettings]) -> tuple[str, str]:
    given = [key for key in PRINCIPALS if key in fields]
    if len(given) != 1:
        fields.problems.add(fields.line, f"{fields.where} needs one of group, user and machine")
    kind = given[0] if given else "group"
    principal = fields.text(kind) or ""
    if kind == "user":
        for key in ("until", "reason"):
            if key not in fields:
                message = f"{fields.where} is of user {principal or '?'} and lacks {key!r}"
                fields.problems.add(fields.line, message)
    if kind == "machine" and principal and principal not in machines:
        hint = suggest(principal, tuple(machines))
        fields.wrong(kind, f"names machine {principal!r}, which is not defined{hint}")
    return kind, principal


def _rule(subject: str, rights: Fields, sudo: Mapping[str, SudoRule], until: float | None) -> Rule:
    names = _known(rights, "sudo", RULE_NAME, sudo, "sudo rule")
    rule = Rule(
        subject=subject,
        login=True,
        admin=rights.flag("admin", default=False),
        sudo=tuple(sudo[name] for name in sorted(names) if name in sudo),
        forward=tuple(sorted(rights.texts("forward"))),
        sftp_only=rights.flag("sftp_only", default=False),
        agent_forwarding=rights.flag("agent_forwarding", default=False),
        x11=rights.flag("x11", default=False),
        max_session=rights.duration("max_session", 60, LONGEST) or 0,
        servers=tuple(sorted(rights.texts_by_name("servers", LABEL).items())),
        until=until,
        source_address=tuple(sorted(rights.texts("source_address"))),
        force_command=rights.text("force_command") or "",
    )
    if rule.sftp_only and (rule.admin or rule.sudo or rule.force_command):
        rights.wrong("sftp_only", "leaves no shell: take it out, or admin, sudo and force_command")
    for key in ("forward", "source_address", "force_command"):
        rights.check(key, _faults_of(rule, key, rights.where))
    return rule


def _faults_of(rule: Rule, key: str, where: str) -> Callable[[], Iterator[str]]:
    return lambda: (f"{one} in {where}" for one in faults(rule) if one.startswith(f"{key} "))


def _end(until: date | None) -> float | None:
    """The first moment after the day, in seconds since the epoch."""
    if until is None or until == date.max:
        return None
    return datetime.combine(until + timedelta(days=1), time(), UTC).timestamp()


def _known(
    fields: Fields, key: str, pattern: str, known: Mapping[str, object], what: str
) -> tuple[str, ...]:
    values = fields.texts(key, pattern)
    for value in values:
        if value not in known:
            hint = suggest(value, tuple(known))
            fields.wrong(key, f"names {what} {value!r}, which is not defined{hint}")
    return values
