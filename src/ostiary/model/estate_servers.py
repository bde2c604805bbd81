"""The ``servers`` section of the estate: control plane, projects, sudo rules, machines."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Literal, cast
from urllib.parse import urlsplit

from ostiary.model.estate import Text
from ostiary.model.estate_fields import Fields, named_entries, suggest
from ostiary.model.estate_server_shapes import (
    ENROLLING_ACCOUNT,
    HIGHEST_NUMBER,
    KMS_KEY,
    LOWEST_NUMBER,
    MACHINE_KINDS,
    PROJECT_NAME,
    RULE_NAME,
)
from ostiary.model.estate_yaml import Type
from ostiary.model.server_access import Rule, SudoRule, faults
from ostiary.model.servers import MachineSettings, ProjectSettings, ServersSettings

SCOPE = "control"  # of keys in plans: no org may be named so
LONGEST = 99 * 3600
_NEEDS = {
    "oidc": ("issuer", "audience", "claims"),
    "private-key-jwt": ("issuer", "audience", "public_keys_file"),
    "aws": ("arn",),
}
ReadFile = Callable[[str], str]


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
            name: _machine(name, one, projects, read_file)
            for name, one in _sections(fields, "machines", "machine")
        },
        place=fields.place,
    )
    return settings, sudo


def _sections(fields: Fields, key: str, shape: str) -> Iterator[tuple[str, Fields]]:
    what = shape.replace("_", " ")
    pattern = PROJECT_NAME if shape == "project" else RULE_NAME
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


def _machine(
    name: str, fields: Fields, projects: Mapping[str, object], read_file: ReadFile | None
) -> MachineSettings:
    project = fields.text("project", PROJECT_NAME) or ""
    if project and project not in projects:
        hint = suggest(project, tuple(projects))
        fields.wrong("project", f"names project {project!r}, which is not defined{hint}")
    kind = fields.choice("kind", "", MACHINE_KINDS)
    for key in _NEEDS.get(kind, ()):
        if key not in fields:
            fields.problems.add(fields.line, f"{fields.where} is of kind {kind} and lacks {key!r}")
    claims = texts_by_name(fields, "claims", r"^\S{1,128}$")
    if kind == "oidc" and "claims" in fields and "sub" not in claims:
        fields.wrong("claims", "must name sub: without it every job of the issuer would get in")
    return MachineSettings(
        name=name,
        project=project,
        kind=kind,
        owner=fields.text("owner") or "",
        until=fields.day("until") or date.max,
        issuer=fields.text("issuer", r"^https://\S+$") or "",
        audience=fields.text("audience") or "",
        claims=claims,
        public_keys=_public_keys(fields, read_file),
        arn=fields.text("arn", r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/\S+$") or "",
        rate=fields.integer("rate", 1000, 1, 1_000_000),
        place=fields.place,
    )


def texts_by_name(fields: Fields, key: str, pattern: str) -> dict[str, str]:
    """A mapping of names to texts, such as labels."""
    found = {}
    entries = named_entries(fields.entries.get(key), f"name in {key}", pattern, fields.problems)
    for name, value, line in entries:
        if value.type is not Type.TEXT or not value.text.isprintable() or not value.text:
            fields.problems.add(
                line, f'{name!r} in {key} of {fields.where} must be text, in "quotes"'
            )
        found[name] = value.text
    return found


def _public_keys(fields: Fields, read_file: ReadFile | None) -> str:
    """The JWK set of a file on one line; only public keys are taken."""
    path = fields.text("public_keys_file")
    if path is None:
        return ""
    if read_file is None:
        fields.wrong("public_keys_file", "names a file, and files cannot be read here")
        return ""
    try:
        keys = json.loads(read_file(path))["keys"]
        private = any({"d", "k"} & key.keys() for key in keys)  # RFC 7517, RFC 7518 6
    except OSError as error:
        fields.wrong("public_keys_file", f"cannot be read: {error.strerror or error}")
        return ""
    except (ValueError, KeyError, TypeError, AttributeError):
        fields.wrong("public_keys_file", 'is no set of keys: {"keys": […]}')
        return ""
    if private or not keys:
        fields.wrong(
            "public_keys_file", "holds no key, or a private one: only public keys belong there"
        )
    return json.dumps({"keys": keys}, sort_keys=True, separators=(",", ":"))
