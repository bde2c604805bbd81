"""Effective admin rights over an account, judged pessimistically: what is unknown never helps.

An Allow under a condition whose key has a value that we cannot foresee does not count; a Deny under one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ostiary.model.iam import AccountIam, Document, IamRole, IamUser
from ostiary.model.policy import AuthRequest, Policies, decide
from ostiary.model.policy_statement import statements

Principal: TypeAlias = IamRole | IamUser

PROBE = "ostiary-probe"  # a name that no policy means: what is allowed on it is allowed in general
PROBES = (
    ("iam:PassRole", "role/"),
    ("iam:CreateRole", "role/"),
    ("iam:AttachRolePolicy", "role/"),
    ("iam:PutRolePolicy", "role/"),
    ("iam:UpdateAssumeRolePolicy", "role/"),
    ("iam:DeleteRolePermissionsBoundary", "role/"),
    ("iam:CreatePolicy", "policy/"),
    ("iam:CreatePolicyVersion", "policy/"),
    ("iam:SetDefaultPolicyVersion", "policy/"),
    ("iam:CreateUser", "user/"),
    ("iam:CreateAccessKey", "user/"),
    ("iam:AttachUserPolicy", "user/"),
    ("iam:CreateSAMLProvider", "saml-provider/"),
    ("iam:UpdateSAMLProvider", "saml-provider/"),
    ("iam:ListRoles", ""),
    ("sts:AssumeRole", "role/"),
    ("organizations:DescribeOrganization", ""),
    ("ec2:RunInstances", ""),
    ("s3:PutBucketPolicy", ""),
    ("kms:PutKeyPolicy", ""),
    ("cloudtrail:StopLogging", ""),
)
_ALLOW_ALL: Document = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
_NOTHING: Document = {"Version": "2012-10-17", "Statement": []}
# AWS's own policies are often left out of a read. These hold no Deny, so taking them as empty errs on the safe side.
_AWS_MANAGED = {
    "AdministratorAccess": _ALLOW_ALL,
    **dict.fromkeys(
        (
            "IAMFullAccess",
            "IAMReadOnlyAccess",
            "IAMUserChangePassword",
            "PowerUserAccess",
            "ReadOnlyAccess",
            "SecurityAudit",
            "job-function/Billing",
            "job-function/SupportUser",
            "job-function/ViewOnlyAccess",
        ),
        _NOTHING,
    ),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """A principal as it would act: its ARN (a session's for a role), policies, and the keys that are foreseeable."""

    principal_arn: str
    policies: Policies
    context: Mapping[str, str]
    known: frozenset[str]


def pessimistic(document: Document, known: frozenset[str]) -> Document:
    """The document without Allows, and with unconditional Denies, where a condition's key is not in ``known``."""
    kept: list[Mapping[str, Any]] = []
    for statement in statements(document):
        condition = statement.get("Condition") or {}
        keys = {key.lower() for block in condition.values() for key in block}
        if keys <= known:
            kept.append(statement)
        elif statement.get("Effect") == "Deny":
            kept.append({name: value for name, value in statement.items() if name != "Condition"})
    return {**document, "Statement": kept}


def _managed(arn: str, account: AccountIam) -> Document | None:
    if arn in account.policies:
        return account.policies[arn]
    prefix = f"arn:{account.partition}:iam::aws:policy/"
    return _AWS_MANAGED.get(arn.removeprefix(prefix)) if arn.startswith(prefix) else None


def _identity(principal: Principal, account: AccountIam) -> Iterator[Document | None]:
    yield from principal.inline.values()
    for arn in principal.managed_arns:
        yield _managed(arn, account)
    if isinstance(principal, IamUser):
        by_name = {group.name: group for group in account.groups}
        for name in principal.groups:
            group = by_name.get(name)
            if group is None:
                yield None
                continue
            yield from group.inline.values()
            for arn in group.managed_arns:
                yield _managed(arn, account)


def _foreseeable(principal: Principal, account: AccountIam) -> tuple[dict[str, str], set[str]]:
    """Condition keys whose value we can tell, and those that are known (perhaps known to be absent)."""
    context = {
        "aws:principalarn": principal.arn,
        "aws:principalaccount": account.account_id,
        "aws:securetransport": "true",
        "aws:viaawsservice": "false",
    }
    if account.organization_id:
        context["aws:principalorgid"] = account.organization_id
    known = {*context, "aws:resourceaccount"}  # the evaluator adds that one
    if isinstance(principal, IamRole):
        context["aws:principaltype"] = "AssumedRole"
        context |= {f"aws:principaltag/{k.lower()}": v for k, v in principal.tags.items()}
    else:
        context |= {"aws:username": principal.name, "aws:principaltype": "User"}
        if principal.mfa is not None:
            known.add("aws:multifactorauthpresent")
        if principal.mfa:
            context["aws:multifactorauthpresent"] = "true"
    return context, known | set(context)


def standing(principal: Principal, account: AccountIam) -> Standing | None:
    """None if a policy that applies to the principal was not read."""
    identity = list(_identity(principal, account))
    boundary = _managed(principal.boundary_arn, account) if principal.boundary_arn else None
    if None in identity or account.scps is None or (principal.boundary_arn and boundary is None):
        return None
    context, keys = _foreseeable(principal, account)
    known = frozenset(keys)
    arn = principal.arn
    if isinstance(principal, IamRole):
        arn = f"arn:{account.partition}:sts::{account.account_id}:assumed-role/{principal.name}/{PROBE}"
    policies = Policies(
        identity=tuple(pessimistic(one, known) for one in identity if one is not None),
        boundary=None if boundary is None else pessimistic(boundary, known),
        scps=tuple(tuple(pessimistic(one, known) for one in level) for level in account.scps),
    )
    return Standing(arn, policies, context, known)


def is_admin(principal: Principal, account: AccountIam) -> bool | None:
    """Whether every probe is allowed; None if that cannot be told because a policy was not read."""
    held = standing(principal, account)
    if held is None:
        return None
    prefix = f"arn:{account.partition}:iam::{account.account_id}:"
    return all(
        decide(
            AuthRequest(
                held.principal_arn,
                account.account_id,
                action,
                f"{prefix}{kind}{PROBE}" if kind else "*",
                held.context,
            ),
            held.policies,
        ).allowed
        for action, kind in PROBES
    )
