"""AWS Organizations: who is where; new accounts.

Source: AWS Organizations API Reference. Only the management account may ask (but DescribeOrganization).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ostiary.sandbox.aws.call import Call, decode_marker, encode_marker, shown_tags
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.state import (
    ACCESS_ROLE,
    AwsAccount,
    AwsOrganization,
    OrganizationalUnit,
)

PAGE = 20
CREATION_TAKES = 5.0  # seconds that a new account is IN_PROGRESS
T = TypeVar("T")
Answer = dict[str, Any]


def _mine(call: Call) -> AwsOrganization:
    organization = call.cloud.organization_of(call.account)
    if organization is None:
        raise AwsError(
            "AWSOrganizationsNotInUseException", "Your account is not a member of an organization."
        )
    return organization


def find_managed(call: Call) -> AwsOrganization:
    organization = _mine(call)
    if organization.management_id != call.account.id:
        raise AwsError(
            "AccessDeniedException", "You don't have permissions to access this resource."
        )
    return organization


def paged(call: Call, result: str, items: Sequence[T], id_of: Callable[[T], str]) -> Answer:
    ordered = sorted(items, key=id_of)
    if token := call.params.get("NextToken"):
        try:
            after = decode_marker(token)
        except AwsError as error:
            raise AwsError(
                "InvalidInputException", "You specified an invalid value for nextToken."
            ) from error
        ordered = [item for item in ordered if id_of(item) > after]
    size = call.params.get("MaxResults", PAGE)
    page = ordered[:size]
    answer: Answer = {result: page}
    if len(ordered) > size:
        answer["NextToken"] = encode_marker(id_of(page[-1]))
    return answer


def _arn(organization: AwsOrganization, kind: str, *ids: str) -> str:
    tail = "/".join((kind, organization.id, *ids))
    return f"arn:{organization.partition}:organizations::{organization.management_id}:{tail}"


def _path(organization: AwsOrganization, parent_id: str, *more: str) -> str:
    return "/".join((organization.id, *organization.lineage(parent_id), *more)) + "/"


def _accounts(call: Call, organization: AwsOrganization) -> list[AwsAccount]:
    return [one for one in call.cloud.accounts.values() if one.organization == organization.id]


def _shown_account(organization: AwsOrganization, account: AwsAccount) -> Answer:
    """With the newer ``State`` beside ``Status``, which knows only three of its values."""
    status = {"CLOSED": "SUSPENDED", "PENDING_ACTIVATION": "ACTIVE"}
    return {
        "Id": account.id,
        "Arn": _arn(organization, "account", account.id),
        "Email": account.email,
        "Name": account.name,
        "Status": status.get(account.status, account.status),
        "State": account.status,
        "Paths": [_path(organization, account.ou_id, account.id)],
        "JoinedMethod": "INVITED" if account.invited else "CREATED",
        "JoinedTimestamp": account.joined,
    }


def _shown_ou(organization: AwsOrganization, unit: OrganizationalUnit) -> Answer:
    return {
        "Id": unit.id,
        "Arn": _arn(organization, "ou", unit.id),
        "Name": unit.name,
        "Path": _path(organization, unit.id),
    }


def describe_organization(call: Call) -> Answer:
    organization = _mine(call)
    management = call.cloud.account(organization.management_id)
    return {
        "Organization": {
            "Id": organization.id,
            "Arn": _arn(organization, "organization"),
            "FeatureSet": "ALL",
            "MasterAccountArn": _arn(organization, "account", management.id),
            "MasterAccountId": management.id,
            "MasterAccountEmail": management.email,
            "AvailablePolicyTypes": [{"Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"}],
        }
    }


def list_roots(call: Call) -> Answer:
    organization = find_managed(call)
    root = {
        "Id": organization.root,
        "Arn": _arn(organization, "root", organization.root),
        "Name": "Root",
        "PolicyTypes": [{"Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"}],
    }
    return {"Roots": [root]}


def list_accounts(call: Call) -> Answer:
    organization = find_managed(call)
    page = paged(call, "Accounts", _accounts(call, organization), lambda one: one.id)
    page["Accounts"] = [_shown_account(organization, one) for one in page["Accounts"]]
    return page


def _checked_parent(organization: AwsOrganization, parent_id: str) -> str:
    if parent_id != organization.root and parent_id not in organization.ous:
        raise AwsError(
            "ParentNotFoundException",
            "You provided a parent that doesn't exist or isn't in your organization.",
        )
    return parent_id


def list_accounts_for_parent(call: Call) -> Answer:
    organization = find_managed(call)
    parent = _checked_parent(organization, call.params["ParentId"])
    members = [one for one in _accounts(call, organization) if one.ou_id == parent]
    page = paged(call, "Accounts", members, lambda one: one.id)
    page["Accounts"] = [_shown_account(organization, one) for one in page["Accounts"]]
    return page


def list_organizational_units_for_parent(call: Call) -> Answer:
    organization = find_managed(call)
    parent = _checked_parent(organization, call.params["ParentId"])
    units = [unit for unit in organization.ous.values() if unit.parent_id == parent]
    page = paged(call, "OrganizationalUnits", units, lambda unit: unit.id)
    page["OrganizationalUnits"] = [
        _shown_ou(organization, unit) for unit in page["OrganizationalUnits"]
    ]
    return page


def list_children(call: Call) -> Answer:
    organization = find_managed(call)
    parent = _checked_parent(organization, call.params["ParentId"])
    if call.params["ChildType"] == "ACCOUNT":
        ids = [one.id for one in _accounts(call, organization) if one.ou_id == parent]
    else:
        ids = [unit.id for unit in organization.ous.values() if unit.parent_id == parent]
    page = paged(call, "Children", ids, str)
    page["Children"] = [{"Id": one, "Type": call.params["ChildType"]} for one in page["Children"]]
    return page


def list_parents(call: Call) -> Answer:
    organization, child = find_managed(call), call.params["ChildId"]
    if child in organization.ous:
        parent = organization.ous[child].parent_id
    else:
        parent = _member(call, organization, child, "ChildNotFoundException").ou_id
    kind = "ROOT" if parent == organization.root else "ORGANIZATIONAL_UNIT"
    return {"Parents": [{"Id": parent, "Type": kind}]}


def _member(
    call: Call,
    organization: AwsOrganization,
    account_id: str,
    code: str = "AccountNotFoundException",
) -> AwsAccount:
    account = call.cloud.accounts.get(account_id)
    if account is None or account.organization != organization.id:
        raise AwsError(code, "You specified an account that doesn't exist.")
    return account


def describe_account(call: Call) -> Answer:
    organization = find_managed(call)
    account = _member(call, organization, call.params["AccountId"])
    return {"Account": _shown_account(organization, account)}


def describe_organizational_unit(call: Call) -> Answer:
    organization = find_managed(call)
    unit = organization.ous.get(call.params["OrganizationalUnitId"])
    if unit is None:
        raise AwsError(
            "OrganizationalUnitNotFoundException",
            "You specified an organizational unit that doesn't exist.",
        )
    return {"OrganizationalUnit": _shown_ou(organization, unit)}


def list_tags_for_resource(call: Call) -> Answer:
    organization, target = find_managed(call), call.params["ResourceId"]
    if target == organization.root:
        return {"Tags": []}
    unit = organization.ous.get(target)
    tags = (
        unit.tags if unit else _member(call, organization, target, "TargetNotFoundException").tags
    )
    return {"Tags": shown_tags(tags)}


def create_account(call: Call) -> Answer:
    """Asynchronous: IN_PROGRESS at first; the account is there when the request has SUCCEEDED."""
    organization, params = find_managed(call), call.params
    request: Answer = {
        "Id": f"car-{call.cloud.new_hex(32)}",
        "AccountName": params["AccountName"],
        "State": "IN_PROGRESS",
        "RequestedTimestamp": call.now,
    }
    organization.creations[request["Id"]] = request | {"params": dict(params)}
    return {"CreateAccountStatus": request}


def describe_create_account_status(call: Call) -> Answer:
    organization = find_managed(call)
    request = organization.creations.get(call.params["CreateAccountRequestId"])
    if request is None:
        raise AwsError(
            "CreateAccountStatusNotFoundException",
            "We can't find an create account request with the CreateAccountRequestId that you specified.",
        )
    if (
        request["State"] == "IN_PROGRESS"
        and call.now >= request["RequestedTimestamp"] + CREATION_TAKES
    ):
        _finish(call, organization, request)
    return {
        "CreateAccountStatus": {key: value for key, value in request.items() if key != "params"}
    }


def _finish(call: Call, organization: AwsOrganization, request: Answer) -> None:
    params = request["params"]
    request["CompletedTimestamp"] = call.now
    if any(one.email == params["Email"] for one in call.cloud.accounts.values()):
        request |= {"State": "FAILED", "FailureReason": "EMAIL_ALREADY_EXISTS"}
        return
    account = call.cloud.add_account(
        call.cloud.new_account_id(),
        params["AccountName"],
        organization=organization,
        email=params["Email"],
        tags={tag["Key"]: tag["Value"] for tag in params.get("Tags") or ()},
        access_role=params.get("RoleName", ACCESS_ROLE),
    )
    request |= {"State": "SUCCEEDED", "AccountId": account.id}
