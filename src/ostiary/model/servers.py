"""The servers of an estate, as its owner wrote them: control plane, projects, machines, and who may do what there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from ostiary.model.estate import NOWHERE, Place, Text
from ostiary.model.server_access import Rule


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """One project: the authorization scope of a set of servers.

    ``kms`` is the KMS key (ARN or alias) of its user authority, "" for a key of the control plane's own. ``max_age`` in
    seconds since the sign-in, 0 for no bound. ``accounts`` are ``ACCOUNT`` or ``ACCOUNT/REGION`` whose instances may enrol
    by identity; ``owners`` are Okta groups. Where ``preauthorization`` is required, what assignments give to people counts only
    while an owner has preauthorized them.
    """

    name: str
    uid_start: int = 60001
    gid_start: int = 63001
    kms: str = ""
    acr_values: str = ""
    max_age: int = 0
    other_ways: Literal["report", "close"] = "report"
    accounts: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    preauthorization: Literal["none", "required"] = "none"
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """A principal that is no person: what it proves itself by, who answers for it, and until which day (UTC).

    ``public_keys`` is a JWK set as JSON, ``rate`` certificates an hour.
    """

    name: str
    project: str
    kind: str
    owner: str
    until: date
    issuer: str = ""
    audience: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)
    public_keys: str = ""
    arn: str = ""
    rate: int = 1000
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class ServersSettings:
    """The ``servers`` of the estate. ``control`` is the URL of the control plane, ``ca_file`` what its certificate is checked by."""

    control: Text
    ca_file: Text | None = None
    projects: Mapping[str, ProjectSettings] = field(default_factory=dict)
    machines: Mapping[str, MachineSettings] = field(default_factory=dict)
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class ServerAssignment:
    """A group, a user or a machine may do on servers of ``projects`` what ``rule`` says, until the end of the day ``until``."""

    rule: Rule
    projects: tuple[str, ...]
    until: date | None = None
    reason: str = ""
    place: Place = NOWHERE

    @property
    def principal(self) -> str:
        """``group sre``, ``user ada@acme.example``, ``machine ci``."""
        return self.rule.subject.replace(":", " ", 1)

    def is_overdue(self, today: date) -> bool:
        return self.until is not None and today > self.until
