"""The two roles that Ostiary needs in each account, as policy documents: exactly what its code calls.

``OstiaryPlan`` only reads. ``OstiaryApply`` writes the named SAML providers and roles; that it may write trust
and role policies makes it as strong as an administrator of those roles, so who may assume it matters most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

READS = (
    "iam:GetAccountAuthorizationDetails",
    "iam:GetLoginProfile",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:GetSAMLProvider",
    "iam:ListAccessKeys",
    "iam:ListAccountAliases",
    "iam:ListAttachedRolePolicies",
    "iam:ListMFADevices",
    "iam:ListRolePolicies",
    "iam:ListRoles",
    "iam:ListSAMLProviders",
    "iam:SimulatePrincipalPolicy",
)
PROVIDER_WRITES = (
    "iam:CreateSAMLProvider",
    "iam:DeleteSAMLProvider",
    "iam:TagSAMLProvider",
    "iam:UntagSAMLProvider",
    "iam:UpdateSAMLProvider",
)
ROLE_WRITES = (
    "iam:AttachRolePolicy",
    "iam:CreateRole",
    "iam:DeleteRole",
    "iam:DeleteRolePermissionsBoundary",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
    "iam:TagRole",
    "iam:UntagRole",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRole",
)
# Ways to stay for ever: no run of ours needs them, so they are denied whatever else is allowed.
NEVER = (
    "iam:AddUserToGroup",
    "iam:Attach*Group*",
    "iam:Attach*User*",
    "iam:CreateAccessKey",
    "iam:CreateLoginProfile",
    "iam:CreatePolicyVersion",
    "iam:CreateServiceSpecificCredential",
    "iam:CreateUser",
    "iam:PassRole",
    "iam:PutGroupPolicy",
    "iam:PutUserPolicy",
    "iam:SetDefaultPolicyVersion",
    "iam:UpdateAccessKey",
    "iam:UpdateLoginProfile",
    "iam:UploadSSHPublicKey",
    "organizations:*",
)
ORGANIZATION_READS = (
    "organizations:DescribeOrganization",
    "organizations:DescribePolicy",
    "organizations:ListAccountsForParent",
    "organizations:ListOrganizationalUnitsForParent",
    "organizations:ListParents",
    "organizations:ListPoliciesForTarget",
    "organizations:ListRoots",
    "organizations:ListTagsForResource",
)
_AWS_ROLES = ("aws-reserved/*", "aws-service-role/*", "AWS*", "stacksets-exec-*")


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What the two roles are made from.

    ``trusted`` is the ARN that may assume them (a role or user of the management account, or its root);
    ``external_id`` and ``organization_id`` narrow that when given. ``providers`` and ``roles`` are the names
    that the estate writes (globs allowed), ``protect`` the role globs that it never may.
    """

    estate: str
    trusted: str
    providers: tuple[str, ...]
    roles: tuple[str, ...]
    plan: str = "OstiaryPlan"
    apply: str = "OstiaryApply"
    external_id: str = ""
    organization_id: str = ""
    protect: tuple[str, ...] = ()


def trust(wanted: Bootstrap) -> dict[str, Any]:
    """Who may assume the two roles (IAM User Guide, "The confused deputy problem")."""
    narrowed = {
        "sts:ExternalId": wanted.external_id,
        "aws:PrincipalOrgID": wanted.organization_id,
    }
    conditions = {key: value for key, value in narrowed.items() if value}
    statement: dict[str, Any] = {
        "Sid": "OstiaryCaller",
        "Effect": "Allow",
        "Principal": {"AWS": wanted.trusted},
        "Action": "sts:AssumeRole",
    }
    if conditions:
        statement["Condition"] = {"StringEquals": conditions}
    return _document(statement)


def plan_policy() -> dict[str, Any]:
    return _document(_allow("Read", READS, ["*"]))


def apply_policy(wanted: Bootstrap, partition: str, account_id: str) -> dict[str, Any]:
    """``partition`` and ``account_id`` may be CloudFormation's ``${AWS::Partition}`` and ``${AWS::AccountId}``."""
    iam = f"arn:{partition}:iam::{account_id}"
    spared = (wanted.plan, wanted.apply, *wanted.protect, *_AWS_ROLES)
    return _document(
        _allow("Read", READS, ["*"]),
        _allow("Providers", PROVIDER_WRITES, _arns(f"{iam}:saml-provider/", wanted.providers)),
        _allow("Roles", ROLE_WRITES, _arns(f"{iam}:role/", wanted.roles)),
        _deny("NotItselfNorTheWaysIn", ROLE_WRITES, _arns(f"{iam}:role/", spared)),
        _deny("Never", NEVER, ["*"]),
    )


def organization_policy() -> dict[str, Any]:
    """What the caller in the management account needs beside ``sts:AssumeRole`` on the two roles."""
    return _document(_allow("Organization", ORGANIZATION_READS, ["*"]))


def _arns(prefix: str, names: Sequence[str]) -> list[str]:
    return [prefix + name for name in dict.fromkeys(names)]


def _allow(sid: str, actions: Sequence[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resources}


def _deny(sid: str, actions: Sequence[str], resources: list[str]) -> dict[str, Any]:
    return {**_allow(sid, actions, resources), "Effect": "Deny"}


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}
