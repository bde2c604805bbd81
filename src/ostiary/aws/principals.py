"""The fuller reading of an account: users, groups, their credentials and every policy in force.

Only asked for where a change could lock somebody out. One call for all principals, three for each user, and
the service control policies from the root down. What may not be read is unknown, and unknown counts as no.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ostiary.aws.account_reading import (
    Readings,
    document_in_force,
    inline_of,
    managed_of,
)
from ostiary.aws.session import Aws
from ostiary.errors import Conflict, Denied, NotFound, OstiaryError
from ostiary.model.iam import AccountIam, Document, IamGroup, IamUser, SamlProviderSeen
from ostiary.saml import metadata


def read_principals(readings: Readings, account_id: str) -> AccountIam:
    """Everything that the judge of admin paths asks for. Raises an ``OstiaryError`` if IAM cannot be read."""
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
        scps=read_scps(aws, account_id),
        organization_id=(aws.organization() or {}).get("Id", ""),
    )


def read_scps(aws: Aws, account_id: str) -> tuple[tuple[Document, ...], ...] | None:
    """The service control policies of each level, root first; () when none can limit it, None when not readable."""
    organization = aws.organization()
    if organization is None:
        return None
    if not organization or organization["MasterAccountId"] == account_id:
        return ()  # service control policies never limit the management account
    try:
        lineage = [account_id]
        while not lineage[0].startswith("r-"):
            parents = aws.pages("organizations", "list_parents", "Parents", ChildId=lineage[0])
            lineage.insert(0, next(parents)["Id"])
        return tuple(_policies_of(aws, target) for target in lineage)
    except Denied:
        return None
    except Conflict as error:
        if error.code == "PolicyTypeNotEnabledException":
            return ()
        raise


def _policies_of(aws: Aws, target: str) -> tuple[Document, ...]:
    listed = aws.pages(
        "organizations",
        "list_policies_for_target",
        "Policies",
        TargetId=target,
        Filter="SERVICE_CONTROL_POLICY",
    )
    return tuple(_control_policy(aws, one["Id"]) for one in listed)


def _control_policy(aws: Aws, policy_id: str) -> Document:
    answer = aws.call("organizations", "describe_policy", PolicyId=policy_id)
    document: Document = json.loads(answer["Policy"]["Content"])
    return document


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
