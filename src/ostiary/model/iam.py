"""What was read of one account's IAM: principals, their policies and who may become them.

Everything here is as IAM's ``GetAccountAuthorizationDetails``, ``ListRoles`` and the credential report give it;
policy documents are parsed JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Document: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class IamRole:
    """``max_session`` in seconds; ``managed_arns`` the attached policies; ``inline`` name -> document."""

    name: str
    arn: str
    path: str
    trust: Document
    description: str = ""
    max_session: int = 3600
    boundary_arn: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    managed_arns: tuple[str, ...] = ()
    inline: Mapping[str, Document] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IamUser:
    """``groups`` are names; ``active_keys`` counts access keys of status Active; ``mfa`` None was not read."""

    name: str
    arn: str
    managed_arns: tuple[str, ...] = ()
    inline: Mapping[str, Document] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    boundary_arn: str | None = None
    active_keys: int = 0
    console_password: bool = False
    mfa: bool | None = None


@dataclass(frozen=True, slots=True)
class IamGroup:
    name: str
    arn: str
    managed_arns: tuple[str, ...] = ()
    inline: Mapping[str, Document] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SamlProviderSeen:
    """``entity_id`` of its metadata, "" when that was not read."""

    name: str
    arn: str
    entity_id: str = ""


@dataclass(frozen=True, slots=True)
class AccountIam:
    """One account's IAM. ``users`` None, a policy missing from ``policies`` and ``complete`` False are unknown.

    ``policies``: the documents in force of managed policies by ARN. ``scps``: one tuple of documents per level of
    the Organization; () says that none limits this account, None that they were not read.
    ``organization_id`` (``o-…``) makes conditions on ``aws:PrincipalOrgID`` decidable.
    """

    account_id: str
    partition: str
    roles: tuple[IamRole, ...] = ()
    users: tuple[IamUser, ...] | None = None
    groups: tuple[IamGroup, ...] = ()
    policies: Mapping[str, Document] = field(default_factory=dict)
    complete: bool = True
    saml_providers: tuple[SamlProviderSeen, ...] = ()
    scps: tuple[tuple[Document, ...], ...] | None = ()
    organization_id: str = ""
