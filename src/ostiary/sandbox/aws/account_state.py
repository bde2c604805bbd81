"""Accounts and organizations of the embedded AWS as mutable values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ostiary.model.partition import PARTITIONS
from ostiary.sandbox.aws.iam_state import (
    Document,
    IamGroup,
    IamUser,
    ManagedPolicy,
    Role,
    SamlProvider,
    Shelf,
)


@dataclass(slots=True)
class AwsAccount:
    """One account. ``ou_id`` is its parent's id (root or OU); ``organization`` the organization's id or ""."""

    id: str
    name: str
    partition: str
    email: str = ""
    status: str = "ACTIVE"
    tags: dict[str, str] = field(default_factory=dict)
    organization: str = ""
    ou_id: str = ""
    alias: str = ""
    joined: float = 0.0
    invited: bool = False
    roles: Shelf[Role] = field(default_factory=Shelf)
    users: Shelf[IamUser] = field(default_factory=Shelf)
    groups: Shelf[IamGroup] = field(default_factory=Shelf)
    policies: Shelf[ManagedPolicy] = field(default_factory=Shelf)
    saml_providers: Shelf[SamlProvider] = field(default_factory=Shelf)
    password_policy: dict[str, Any] = field(default_factory=dict)
    former_alias: tuple[float, str] | None = None  # what readers still see, until when

    def arn(self, resource: str) -> str:
        """An IAM ARN of this account: ``role/Ops`` and so on."""
        return PARTITIONS[self.partition].iam_arn(self.id, resource)

    def alias_seen(self, now: float) -> str:
        """The alias as a reader meets it at ``now``."""
        if self.former_alias is not None and now < self.former_alias[0]:
            return self.former_alias[1]
        return self.alias

    def rename(self, alias: str, seen_from: float = 0.0) -> None:
        """Give the account another alias; "" takes it away."""
        self.former_alias = (seen_from, self.alias) if seen_from else None
        self.alias = alias


@dataclass(slots=True)
class OrganizationalUnit:
    id: str
    name: str
    parent_id: str
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ControlPolicy:
    """A service control policy. Where it is attached, ``scps`` holds this very ``document``."""

    id: str
    name: str
    document: Document
    description: str = ""


@dataclass(slots=True)
class AwsOrganization:
    """``root`` is the root's id; ``scps`` maps a root, OU or account id to its service control policies.

    ``policies`` are those that were made by a call, attached or not.
    """

    partition: str
    id: str
    root: str
    management_id: str
    ous: dict[str, OrganizationalUnit] = field(default_factory=dict)
    scps: dict[str, list[Document]] = field(default_factory=dict)
    policies: dict[str, ControlPolicy] = field(default_factory=dict)
    creations: dict[str, dict[str, Any]] = field(default_factory=dict)  # CreateAccount requests

    def lineage(self, parent_id: str) -> list[str]:
        """Ids from the root down to ``parent_id``."""
        up = [parent_id]
        while up[-1] != self.root:
            up.append(self.ous[up[-1]].parent_id)
        return up[::-1]
