"""Everything about one account in a handful of calls, kept for the length of a run.

ListRoles lacks tags, boundary and policies; GetAccountAuthorizationDetails lacks description and session
length: both are read and joined (IAM API Reference, "Role" and "RoleDetail"). What only one of the two
shows, because IAM is eventually consistent, is looked at by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ostiary.aws.fleet import Clouds
from ostiary.errors import NotFound
from ostiary.model.iam import Document, IamRole


@dataclass(frozen=True, slots=True)
class ProviderReading:
    """A SAML provider; ``metadata`` is the XML text."""

    name: str
    arn: str
    metadata: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccountReading:
    """One account as IAM shows it; only ever a complete one.

    ``alias`` is "" when the account has none. ``policies`` maps the ARN of each customer managed policy to its
    document in force.
    """

    account_id: str
    alias: str
    roles: Mapping[str, IamRole]
    policies: Mapping[str, Document]


def read_account(clouds: Clouds, account_id: str) -> AccountReading:
    """Read roles, customer managed policies and the alias. Raises an ``OstiaryError`` if any page is missing."""
    aws = clouds.of(account_id)
    listed = {
        role["RoleName"]: role
        for role in aws.pages("iam", "list_roles", "Roles", account=account_id, MaxItems=1000)
    }
    details: dict[str, Any] = {}
    policies: dict[str, Document] = {}
    for page in aws.whole_pages(
        "iam",
        "get_account_authorization_details",
        account=account_id,
        Filter=["Role", "LocalManagedPolicy"],
        MaxItems=1000,
    ):
        details.update({role["RoleName"]: role for role in page.get("RoleDetailList", ())})
        policies.update({one["Arn"]: document_in_force(one) for one in page.get("Policies", ())})
    aliases = aws.call("iam", "list_account_aliases", account=account_id)["AccountAliases"]
    roles = {name: _joined(listed[name], details[name]) for name in listed.keys() & details.keys()}
    for name in listed.keys() ^ details.keys():
        alone = look_at_role(clouds, account_id, name)
        if alone is not None:
            roles[name] = alone
    alias = aliases[0] if aliases else ""
    return AccountReading(account_id, alias, dict(sorted(roles.items())), policies)


def look_at_role(clouds: Clouds, account_id: str, name: str) -> IamRole | None:
    """One role afresh, in three calls and one per inline policy; None if it does not exist."""
    aws = clouds.of(account_id)
    one: dict[str, Any] = {"account": account_id, "RoleName": name}
    try:
        role = aws.call("iam", "get_role", **one)["Role"]
        attached = list(aws.pages("iam", "list_attached_role_policies", "AttachedPolicies", **one))
        inline = [
            aws.call("iam", "get_role_policy", PolicyName=policy, **one)
            for policy in aws.pages("iam", "list_role_policies", "PolicyNames", **one)
        ]
    except NotFound:
        return None
    return _joined(role, {**role, "AttachedManagedPolicies": attached, "RolePolicyList": inline})


def look_at_provider(clouds: Clouds, account_id: str, name: str) -> ProviderReading | None:
    """One SAML provider by its ARN; None if it does not exist."""
    aws = clouds.of(account_id)
    arn = aws.partition.iam_arn(account_id, f"saml-provider/{name}")
    try:
        answer = aws.call("iam", "get_saml_provider", account=account_id, SAMLProviderArn=arn)
    except NotFound:
        return None
    return ProviderReading(name, arn, answer["SAMLMetadataDocument"], tags_of(answer))


def _joined(listed: Mapping[str, Any], detail: Mapping[str, Any]) -> IamRole:
    return IamRole(
        name=listed["RoleName"],
        arn=listed["Arn"],
        path=listed["Path"],
        trust=detail["AssumeRolePolicyDocument"],
        description=listed.get("Description", ""),
        max_session=listed.get("MaxSessionDuration", 3600),
        boundary_arn=detail.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        tags=tags_of(detail),
        managed_arns=managed_of(detail),
        inline=inline_of(detail, "RolePolicyList"),
    )


def tags_of(answer: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in answer.get("Tags", ())}


def managed_of(detail: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(one["PolicyArn"] for one in detail.get("AttachedManagedPolicies", ())))


def inline_of(detail: Mapping[str, Any], member: str) -> dict[str, Document]:
    return {one["PolicyName"]: one["PolicyDocument"] for one in detail.get(member, ())}


def document_in_force(policy: Mapping[str, Any]) -> Document:
    """The default version of a ``ManagedPolicyDetail``; empty if IAM shows none."""
    versions = policy["PolicyVersionList"]
    return next((one["Document"] for one in versions if one["IsDefaultVersion"]), {})


class Readings:
    """What was read in this run, each account once however many kinds ask. Writers call ``forget``."""

    def __init__(self, clouds: Clouds) -> None:
        self.clouds = clouds
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._accounts: dict[str, AccountReading] = {}
        self._providers: dict[str, dict[str, ProviderReading | None]] = {}
        self._new: dict[tuple[str, str], IamRole] = {}

    def account(self, account_id: str) -> AccountReading:
        with self._locked(account_id):
            if account_id not in self._accounts:
                self._accounts[account_id] = read_account(self.clouds, account_id)
            return self._accounts[account_id]

    def provider(self, account_id: str, name: str) -> ProviderReading | None:
        with self._locked(account_id):
            known = self._providers.setdefault(account_id, {})
            if name not in known:
                known[name] = look_at_provider(self.clouds, account_id, name)
            return known[name]

    def forget(self, account_id: str) -> None:
        """Something was written there: read it again when it is next asked for."""
        with self._locked(account_id):
            self._accounts.pop(account_id, None)
            self._providers.pop(account_id, None)

    def remember_new(self, account_id: str, role: IamRole) -> None:
        """A role of ours was made a moment ago, with this trust policy."""
        self._new[account_id, role.name] = role

    def take_new(self, account_id: str, name: str) -> IamRole | None:
        """The role if it was made a moment ago; once, so that every later question is asked of IAM."""
        return self._new.pop((account_id, name), None)

    def _locked(self, account_id: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(account_id, threading.Lock())
