"""Doors that a well-formed policy opens, or leaves shut, by mistake.

Source: IAM User Guide, "The confused deputy problem", "Create a role for SAML 2.0 federation", "Create a role
for OpenID Connect federation", "Access Analyzer policy check reference".
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from ostiary.model.partition import PARTITIONS
from ostiary.model.policy_match import glob
from ostiary.model.policy_problem import DANGER, WARNING, Document, Problem, listed
from ostiary.model.policy_statement import statements

GITHUB = "token.actions.githubusercontent.com"
KNOWN_ROLES = (
    "AWSControlTowerExecution",
    "AWSCloudFormationStackSetExecutionRole",
    "Okta-Idp-cross-account-role",
    "OrganizationAccountAccessRole",
    "OstiaryApply",
    "OstiaryPlan",
)
_POSITIVE = ("stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike")


def dangers(
    document: Document, *, trust: bool, role_arn: str, own_accounts: frozenset[str] | None
) -> Iterator[Problem]:
    """For a document that IAM accepts; the parameters are those of ``policy_grammar.problems``."""
    for number, statement in enumerate(statements(document)):
        at = f"Statement[{number}]"
        if trust:
            yield from _trust_dangers(statement, at, role_arn, own_accounts)
        else:
            yield from _assume_any(statement, at)
            yield from _role_names(listed(statement.get("Resource", [])), at)
    yield from _role_names([role_arn], "role name")


def _assume_any(statement: Document, at: str) -> Iterator[Problem]:
    named = any(
        action.lower().startswith("sts:") and glob(action.lower(), "sts:assumerole")
        for action in listed(statement.get("Action", []))
    )
    if statement["Effect"] == "Allow" and named and "*" in listed(statement.get("Resource", [])):
        text = "sts:AssumeRole on every role of every account that trusts this one"
        fix = "name the roles: arn:aws:iam::*:role/NAME"
        yield Problem("assume-any-role", DANGER, text, fix, f"{at}.Resource")


def _role_names(arns: list[Any], at: str) -> Iterator[Problem]:
    for arn in arns:
        _, found, path = str(arn).partition(":role/")
        name = path.rpartition("/")[2]
        if not found or name in KNOWN_ROLES:
            continue
        close = difflib.get_close_matches(name, KNOWN_ROLES, n=1, cutoff=0.92)
        if close:
            text = f"role name {name} is almost {close[0]}"
            yield Problem("role-name-typo", WARNING, text, f"write {close[0]}", at)


def keys_of(statement: Document, *, demanding: bool = True) -> dict[str, list[str]]:
    """Condition keys, lower-case, with their values; ``demanding``: only where the key must have one of them."""
    found: dict[str, list[str]] = {}
    condition: Mapping[str, Mapping[str, Any]] = statement.get("Condition") or {}
    for name, keys in condition.items():
        plain = name.lower().removeprefix("foranyvalue:")
        if demanding and plain not in _POSITIVE:
            continue
        for key, values in keys.items():
            found.setdefault(key.lower(), []).extend(str(value) for value in listed(values))
    return found


def _narrowed(values: list[str]) -> bool:
    return bool(values) and not any(value.strip("*?") == "" for value in values)


def _trust_dangers(
    statement: Document, at: str, role_arn: str, own_accounts: frozenset[str] | None
) -> Iterator[Problem]:
    if "NotPrincipal" in statement:
        text = "NotPrincipal lets in, or shuts out, more than it names; IAM supports it no longer in trust policies"
        fix = "use Principal with a condition on aws:PrincipalArn"
        yield Problem("not-principal", DANGER, text, fix, f"{at}.NotPrincipal")
        return
    if statement["Effect"] == "Deny":
        return
    at = f"{at}.Principal"
    principal = statement["Principal"]
    principal = {"AWS": "*"} if principal == "*" else principal
    for name in listed(principal.get("AWS", [])):
        yield from _aws_dangers(statement, name, at, role_arn, own_accounts)
    yield from _role_names(listed(principal.get("AWS", [])), at)
    for name in listed(principal.get("Federated", [])):
        yield from _provider_elsewhere(name, at, role_arn)
        if ":saml-provider/" in name:
            yield from _saml_dangers(statement, name, at)
        elif GITHUB in name:
            yield from _github_dangers(statement, at)


def _aws_dangers(
    statement: Document, name: str, at: str, role_arn: str, own_accounts: frozenset[str] | None
) -> Iterator[Problem]:
    if name == "*":
        if not statement.get("Condition"):
            fix = "name accounts or roles, or demand aws:PrincipalOrgID"
            yield Problem("anybody", DANGER, "every AWS account may enter this role", fix, at)
        return
    if own_accounts is None or name.startswith("A"):  # a unique id tells no account
        return
    account = name if name.isdecimal() else name.split(":")[4]
    if account in own_accounts or (role_arn and role_arn.split(":")[4] == account):
        return
    if not keys_of(statement).keys() & {"sts:externalid", "aws:principalorgid"}:
        text = f"account {account} is not of this organization and needs no external id"
        fix = 'add "Condition": {"StringEquals": {"sts:ExternalId": …}}'
        yield Problem("no-external-id", DANGER, text, fix, at)


def _provider_elsewhere(name: str, at: str, role_arn: str) -> Iterator[Problem]:
    if not (role_arn and name.startswith("arn:")):
        return
    theirs, ours = name.split(":"), role_arn.split(":")
    if (theirs[1], theirs[4]) != (ours[1], ours[4]):
        text = f"provider {name} is not in the role's own account and partition"
        fix = f"use the provider arn:{ours[1]}:iam::{ours[4]}:{':'.join(theirs[5:])}"
        yield Problem("provider-elsewhere", DANGER, text, fix, at)


def _saml_dangers(statement: Document, provider: str, at: str) -> Iterator[Problem]:
    actions = [action.lower() for action in listed(statement.get("Action", []))]
    if actions and not any(glob(action, "sts:assumerolewithsaml") for action in actions):
        text = "a SAML provider enters by sts:AssumeRoleWithSAML only"
        fix = "write sts:AssumeRoleWithSAML as the action"
        yield Problem("action-for-saml", DANGER, text, fix, at)
    partition = PARTITIONS.get(provider.split(":")[1])
    audiences = keys_of(statement).get("saml:aud", [])
    url = partition.sign_in_url if partition else "https://…/saml"
    fix = f'add "Condition": {{"StringEquals": {{"SAML:aud": "{url}"}}}}'
    if not _narrowed(audiences):
        text = "an assertion of this provider for any audience may enter"
        yield Problem("no-saml-audience", DANGER, text, fix, at)
        return
    for audience in audiences:
        host = audience.removeprefix("https://").partition("/")[0]
        if partition and not f".{host}".endswith(f".{partition.sign_in_host}"):
            text = f"SAML:aud {audience} is not of partition {partition.name}"
            yield Problem("saml-audience-partition", DANGER, text, fix, at)


def _github_dangers(statement: Document, at: str) -> Iterator[Problem]:
    keys = keys_of(statement)
    subjects = keys.get(f"{GITHUB}:sub", [])
    repositories = keys.get(f"{GITHUB}:repository", []) + keys.get(f"{GITHUB}:repository_owner", [])
    fix = f'add "Condition": {{"StringLike": {{"{GITHUB}:sub": "repo:OWNER/REPOSITORY:*"}}}}'
    everybody = any(
        one.removeprefix("repo:").partition("/")[0].strip("*?") == "" for one in subjects
    )
    if not _narrowed(repositories) and (not _narrowed(subjects) or everybody):
        text = "a workflow of any GitHub repository may enter"
        yield Problem("github-without-sub", DANGER, text, fix, at)
    if f"{GITHUB}:aud" not in keys:
        text = "the token's audience is not demanded"
        fix = f'add "{GITHUB}:aud": "sts.amazonaws.com" to the condition'
        yield Problem("github-without-aud", WARNING, text, fix, at)
