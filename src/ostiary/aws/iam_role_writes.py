"""What to write so that a role becomes another: the difference of two roles as a list of IAM calls.

Each call gives the same when it is made twice, so a lost answer is simply asked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ostiary.aws.account_reading import managed_of, tags_of
from ostiary.aws.ownership import tag_list
from ostiary.aws.policy_document import same, text_of
from ostiary.aws.session import Aws
from ostiary.errors import NotFound
from ostiary.model.iam import IamRole


@dataclass(frozen=True, slots=True)
class Write:
    """One IAM operation on a role. ``absent_is_done``: what it takes away may be gone already."""

    operation: str
    params: Mapping[str, Any] = field(default_factory=dict)
    absent_is_done: bool = False


def creation(role: IamRole) -> Iterator[Write]:
    """A new role at path ``/`` (a role value pattern of Okta cannot express any other)."""
    params: dict[str, Any] = {
        "Path": "/",
        "AssumeRolePolicyDocument": text_of(role.trust),
        "Description": role.description,
        "MaxSessionDuration": role.max_session,
        "Tags": tag_list(role.tags),
    }
    if role.boundary_arn:
        params["PermissionsBoundary"] = role.boundary_arn
    yield Write("create_role", params)
    yield from _policies(IamRole(role.name, role.arn, role.path, role.trust), role)


def alteration(now: IamRole, wanted: IamRole) -> Iterator[Write]:
    """Only what differs; the trust policy is not touched. Rights are taken away before others are given."""
    if now.boundary_arn != wanted.boundary_arn:
        if wanted.boundary_arn:
            boundary = {"PermissionsBoundary": wanted.boundary_arn}
            yield Write("put_role_permissions_boundary", boundary)
        else:
            yield Write("delete_role_permissions_boundary", absent_is_done=True)
    yield from _policies(now, wanted)
    if (now.description, now.max_session) != (wanted.description, wanted.max_session):
        yield Write(  # UpdateRole resets what it is not given
            "update_role",
            {"Description": wanted.description, "MaxSessionDuration": wanted.max_session},
        )
    gone = sorted(now.tags.keys() - wanted.tags.keys())
    if gone:
        yield Write("untag_role", {"TagKeys": gone})
    new = {key: value for key, value in wanted.tags.items() if now.tags.get(key) != value}
    if new:
        yield Write("tag_role", {"Tags": tag_list(new)})


def removal(now: IamRole) -> Iterator[Write]:
    """Everything attached, then the role."""
    yield from _policies(now, IamRole(now.name, now.arn, now.path, now.trust))
    yield Write("delete_role", absent_is_done=True)


def _policies(now: IamRole, wanted: IamRole) -> Iterator[Write]:
    for arn in sorted(set(now.managed_arns) - set(wanted.managed_arns)):
        yield Write("detach_role_policy", {"PolicyArn": arn}, absent_is_done=True)
    for name in sorted(now.inline.keys() - wanted.inline.keys()):
        yield Write("delete_role_policy", {"PolicyName": name}, absent_is_done=True)
    for arn in sorted(set(wanted.managed_arns) - set(now.managed_arns)):
        yield Write("attach_role_policy", {"PolicyArn": arn})
    for name, document in sorted(wanted.inline.items()):
        if name not in now.inline or not same(now.inline[name], document):
            policy = {"PolicyName": name, "PolicyDocument": text_of(document)}
            yield Write("put_role_policy", policy)


def is_visible(aws: Aws, account_id: str, wanted: IamRole, last: Write) -> bool:
    """Whether readers see the last write: one read of what it wrote."""
    one: dict[str, Any] = {"account": account_id, "RoleName": wanted.name}
    try:
        if last.operation in ("attach_role_policy", "detach_role_policy"):
            attached = list(
                aws.pages("iam", "list_attached_role_policies", "AttachedPolicies", **one)
            )
            return managed_of({"AttachedManagedPolicies": attached}) == wanted.managed_arns
        if last.operation == "delete_role_policy":
            names = aws.pages("iam", "list_role_policies", "PolicyNames", **one)
            return last.params["PolicyName"] not in list(names)
        if last.operation == "put_role_policy":
            name = last.params["PolicyName"]
            policy = aws.call("iam", "get_role_policy", PolicyName=name, **one)
            return same(policy["PolicyDocument"], wanted.inline[name])
        role = aws.call("iam", "get_role", **one)["Role"]
    except NotFound:
        return last.operation == "delete_role"
    return (
        last.operation != "delete_role"
        and tags_of(role) == wanted.tags
        and role.get("Description", "") == wanted.description
        and role.get("MaxSessionDuration", 3600) == wanted.max_session
        and role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn") == wanted.boundary_arn
    )
