"""The fuller reading of an account: users, groups, their credentials and every policy in force.

Only asked for where a change could lock somebody out. One call for all principals, three for each user. What may
not be read is unknown, and unknown counts as no.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostiary.aws.account_reading import (
    Readings,
    document_in_force,
    inline_of,
    managed_of,
)
from ostiary.aws.control_policies import Levels
from ostiary.aws.session import Aws
from ostiary.errors import Conflict, NotFound, OstiaryError
from ostiary.model.iam import AccountIam, Document, IamGroup, IamUser, SamlProviderSeen
from ostiary.saml import metadata


def read_principals(readings: Readings, account_id: str, scps: Levels | None) -> AccountIam:
    """Everything that the judge of admin paths asks for. Raises an ``OstiaryError`` if IAM cannot be read.

    ``scps`` are the service control policies over the account (``ControlPolicies.over``).
    """
    aws = readings.clouds.of(account_id)
    users: list[IamUser] = []
    groups: list[IamGroup] = []
    policies: dict[str, Document] = {}
    for page in aws.whole_pages(
        "iam",
        "get_account_authorization_details",
        account=account_id,
        Filter=["User", "Group", "LocalManagedPolicy", "AWSManagedPolicy"],
        MaxItems=1000,
    ):
        users += (_user(aws, account_id, one) for one in page.get("UserDetailList", ()))
        groups += (_group(one) for one in page.get("GroupDetailList", ()))
        policies.update({one["Arn"]: document_in_force(one) for one in page.get("Policies", ())})
    return AccountIam(
        account_id,
        aws.partition.name,
        tuple(readings.account(account_id).roles.values()),
        tuple(users),
        tuple(groups),
        policies,
        saml_providers=_providers(readings, account_id),
        scps=scps,
        organization_id=(aws.organization() or {}).get("Id", ""),
    )


def _user(aws: Aws, account_id: str, detail: Mapping[str, Any]) -> IamUser:
    one: dict[str, Any] = {"account": account_id, "UserName": detail["UserName"]}
    keys = aws.pages("iam", "list_access_keys", "AccessKeyMetadata", **one)
    return IamUser(
        detail["UserName"],
        detail["Arn"],
        managed_of(detail),
        inline_of(detail, "UserPolicyList"),
        tuple(detail.get("GroupList", ())),
        detail.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        active_keys=sum(key["Status"] == "Active" for key in keys),
        console_password=_has_password(aws, one),
        mfa=_has_mfa(aws, one),
    )


def _has_password(aws: Aws, one: Mapping[str, Any]) -> bool:
    try:
        aws.call("iam", "get_login_profile", **one)
    except NotFound:
        return False
    return True


def _has_mfa(aws: Aws, one: Mapping[str, Any]) -> bool | None:
    try:
        return any(aws.pages("iam", "list_mfa_devices", "MFADevices", **one))
    except OstiaryError:
        return None  # not read is unknown, which never helps


def _group(detail: Mapping[str, Any]) -> IamGroup:
    inline = inline_of(detail, "GroupPolicyList")
    return IamGroup(detail["GroupName"], detail["Arn"], managed_of(detail), inline)


def _providers(readings: Readings, account_id: str) -> tuple[SamlProviderSeen, ...]:
    """Every SAML provider with the identity provider behind it: two may hold the metadata of one org."""
    aws = readings.clouds.of(account_id)
    listed = aws.call("iam", "list_saml_providers", account=account_id)["SAMLProviderList"]
    names = [one["Arn"].partition(":saml-provider/")[2] for one in listed]
    found = ((name, readings.provider(account_id, name)) for name in names)
    return tuple(
        SamlProviderSeen(name, one.arn, _entity(one.metadata)) for name, one in found if one
    )


def _entity(text: str) -> str:
    try:
        return metadata.parse(text).entity_id
    except Conflict:
        return ""
