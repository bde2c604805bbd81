"""The ``servers`` section of the estate: control plane, projects, sudo rules, machines."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Literal, cast
from urllib.parse import urlsplit

from ostiary.model.estate import Text
from ostiary.model.estate_fields import Fields, named_entries
from ostiary.model.estate_machines import ReadFile, parse_machine
from ostiary.model.estate_server_shapes import (
    ENROLLING_ACCOUNT,
    HIGHEST_NUMBER,
    KMS_KEY,
    LOWEST_NUMBER,
    MACHINE_NAME,
    PROJECT_NAME,
    RULE_NAME,
)
from ostiary.model.preauthorization import MODES, NONE
from ostiary.model.server_access import Rule, SudoRule, faults
from ostiary.model.servers import ProjectSettings, ServersSettings

SCOPE = "control"  # of keys in plans: no org may be named so
LONGEST = 99 * 3600


def parse_servers(
    fields: Fields, orgs: Mapping[str, object], read_file: ReadFile | None
) -> tuple[ServersSettings, Mapping[str, SudoRule]]:
    """The section, and its sudo rules by name. What is wrong with it is among the problems."""
    if SCOPE in orgs:
        fields.problems.add(
            fields.line, f"an org named {SCOPE!r} could not be told from the control plane"
        )
    projects = {name: _project(name, one) for name, one in _sections(fields, "projects", "project")}
    sudo = {name: _sudo_rule(name, one) for name, one in _sections(fields, "sudo", "sudo_rule")}
    settings = ServersSettings(
        control=_control(fields),
        ca_file=fields.reference("ca_file"),
        projects=projects,
        machines={
            name: parse_machine(name, one, projects, read_file)
            for name, one in _sections(fields, "machines", "machine")
        },
        place=fields.place,
    )
    return settings, sudo


def _sections(fields: Fields, key: str, shape: str) -> Iterator[tuple[str, Fields]]:
    what = shape.replace("_", " ")
    pattern = {"project": PROJECT_NAME, "machine": MACHINE_NAME}.get(shape, RULE_NAME)
    for name, node, line in named_entries(fields.entries.get(key), what, pattern, fields.problems):
        yield name, Fields(node, shape, f"{what} {name!r}", fields.problems, line)


def _control(fields: Fields) -> Text:
    url = fields.reference("control")
    if isinstance(url, str) and (message := control_defect(url)):
        fields.wrong("control", f"is {url!r}; {message}")
    return url or ""


def control_defect(url: str) -> str:
    """What is wrong with the address of a control plane; "" when it may be used."""
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment or parts.path not in ("", "/"):
        return "it must be https://HOST[:PORT] and nothing else"
    if parts.scheme == "https" and parts.hostname:
        return ""
    if parts.scheme == "http" and _is_loopback(parts.hostname or ""):
        return ""
    return "it must be https://HOST[:PORT]; plain http only to this machine itself"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _project(name: str, fields: Fields) -> ProjectSettings:
    return ProjectSettings(
        name=name,
        uid_start=fields.integer("uid_start", 60001, LOWEST_NUMBER, HIGHEST_NUMBER),
        gid_start=fields.integer("gid_start", 63001, LOWEST_NUMBER, HIGHEST_NUMBER),
        kms=fields.text("kms", KMS_KEY) or "",
        acr_values=" ".join(fields.texts("acr_values", r"^\S+$")),
        max_age=fields.duration("max_age", 60, LONGEST) or 0,
        other_ways=cast(
            'Literal["report", "close"]',
            fields.choice("other_ways", "report", ("report", "close")),
        ),
        accounts=fields.texts("accounts", ENROLLING_ACCOUNT),
        owners=fields.texts("owners"),
        preauthorization=cast(
            'Literal["none", "required"]', fields.choice("preauthorization", NONE, MODES)
        ),
        place=fields.place,
    )


def _sudo_rule(name: str, fields: Fields) -> SudoRule:
    rule = SudoRule(
        name=name,
        commands=fields.texts("commands"),
        run_as=fields.text("run_as") or "root",
        nopasswd=fields.flag("nopasswd", default=True),
        noexec=fields.flag("noexec", default=False),
    )
    if rule.commands:
        checked = Rule("group:anybody", login=True, sudo=(rule,))
        fields.check("commands", lambda: (f"{fields.where}: {one}" for one in _plain(checked)))
    return rule


def _plain(rule: Rule) -> list[str]:
    return [one.partition(": ")[2] for one in faults(rule)]
