"""Harmless proofs that each permission is there: reads are made, writes are simulated, and what to ask for is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ostiary.aws.bootstrap_policies import PROVIDER_WRITES, ROLE_WRITES, Bootstrap
from ostiary.aws.session import Aws
from ostiary.errors import Denied, NotFound, OstiaryError

_READS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("iam:ListRoles", "list_roles", {"MaxItems": 1}),
    (
        "iam:GetAccountAuthorizationDetails",
        "get_account_authorization_details",
        {"MaxItems": 1, "Filter": ["Role"]},
    ),
    ("iam:ListAccountAliases", "list_account_aliases", {}),
    ("iam:ListSAMLProviders", "list_saml_providers", {}),
    ("iam:GetRole", "get_role", {"RoleName": "OstiaryProbe"}),
    ("iam:ListRolePolicies", "list_role_policies", {"RoleName": "OstiaryProbe"}),
    ("iam:ListAttachedRolePolicies", "list_attached_role_policies", {"RoleName": "OstiaryProbe"}),
    ("iam:GetRolePolicy", "get_role_policy", {"RoleName": "OstiaryProbe", "PolicyName": "Probe"}),
    ("iam:ListAccessKeys", "list_access_keys", {"UserName": "OstiaryProbe"}),
    ("iam:GetLoginProfile", "get_login_profile", {"UserName": "OstiaryProbe"}),
)


@dataclass(frozen=True, slots=True)
class Probe:
    """``ok`` None: could not be tested. ``ask`` is what to request from whoever can grant it, "" when all is well."""

    permission: str
    ok: bool | None
    ask: str = ""


def doctor_probes(aws: Aws, account_id: str, purpose: str, wanted: Bootstrap) -> tuple[Probe, ...]:
    """Test what ``purpose`` (plan or apply) needs in one account. Nothing is written."""
    try:
        with aws.acting_in(account_id):
            pass
    except OstiaryError as error:
        return (Probe("sts:AssumeRole", ok=False, ask=f"{error.why}; {error.fix}"),)
    role = aws.reach.entered_by.get(account_id, aws.caller().arn)
    reads = tuple(_read(aws, account_id, role, one) for one in _reads(aws, account_id, wanted))
    return reads if purpose == "plan" else (*reads, *_simulated(aws, account_id, role, wanted))


def organization_probes(aws: Aws) -> tuple[Probe, ...]:
    """Test what discovery needs of the caller itself."""
    who = aws.caller().arn
    probes = [_organization(aws, who, "DescribeOrganization", "describe_organization")]
    probes.append(_organization(aws, who, "ListRoots", "list_roots"))
    if not all(probe.ok for probe in probes):
        return tuple(probes)
    root = next(aws.pages("organizations", "list_roots", "Roots"))["Id"]
    for action, operation in (
        ("ListAccountsForParent", "list_accounts_for_parent"),
        ("ListOrganizationalUnitsForParent", "list_organizational_units_for_parent"),
    ):
        probes.append(_organization(aws, who, action, operation, ParentId=root))
    return tuple(probes)


def _organization(aws: Aws, who: str, action: str, operation: str, **params: Any) -> Probe:
    permission = f"organizations:{action}"
    try:
        aws.call("organizations", operation, **params)
    except OstiaryError as error:
        return _refused(error, permission, f"allow {permission} to {who} ({error.code})")
    return Probe(permission, ok=True)


def _reads(
    aws: Aws, account_id: str, wanted: Bootstrap
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    yield from _READS
    for name in wanted.providers:
        arn = aws.partition.iam_arn(account_id, f"saml-provider/{name}")
        yield "iam:GetSAMLProvider", "get_saml_provider", {"SAMLProviderArn": arn}


def _read(aws: Aws, account_id: str, role: str, probe: tuple[str, str, dict[str, Any]]) -> Probe:
    permission, operation, params = probe
    try:
        aws.call("iam", operation, account=account_id, **params)
    except NotFound:
        return Probe(permission, ok=True)  # it was allowed to look
    except OstiaryError as error:
        return _refused(error, permission, f"allow {permission} to {role} in account {account_id}")
    return Probe(permission, ok=True)


def _refused(error: OstiaryError, permission: str, ask: str) -> Probe:
    """Only a refusal is a no; anything else is not known."""
    if isinstance(error, Denied):
        return Probe(permission, ok=False, ask=ask)
    return Probe(permission, ok=None, ask=f"could not be tested: {error.why}")


def _simulated(aws: Aws, account_id: str, role: str, wanted: Bootstrap) -> Iterator[Probe]:
    """By ``iam:SimulatePrincipalPolicy``, which does not see service control policies that test their caller."""
    iam = aws.partition.iam_arn(account_id, "")
    for actions, resource in (
        (PROVIDER_WRITES, f"{iam}saml-provider/{wanted.providers[0]}"),
        (ROLE_WRITES, f"{iam}role/{wanted.roles[0].replace('*', 'Any')}"),
    ):
        try:
            answer = aws.call(
                "iam",
                "simulate_principal_policy",
                account=account_id,
                PolicySourceArn=_source(aws, account_id, role),
                ActionNames=list(actions),
                ResourceArns=[resource],
            )
        except OstiaryError as error:
            why = f"allow iam:SimulatePrincipalPolicy to {role} to have this tested ({error.code})"
            yield from (Probe(action, ok=None, ask=why) for action in actions)
            continue
        for result in answer["EvaluationResults"]:
            action, allowed = result["EvalActionName"], result["EvalDecision"] == "allowed"
            ask = "" if allowed else f"allow {action} on {resource} to {role}"
            yield Probe(action, ok=allowed, ask=ask)


def _source(aws: Aws, account_id: str, role: str) -> str:
    """The ARN of the principal behind the session."""
    if not role.startswith("arn:"):
        return aws.partition.iam_arn(account_id, f"role/{role}")
    if ":assumed-role/" not in role:
        return role
    return aws.partition.iam_arn(account_id, "role/" + role.split("/")[1])
