"""IAM roles: create, trust, policies, tags, boundary, delete.

Source: IAM API Reference. Reads see what is visible now; writes change the truth (``Shelf``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ostiary.sandbox.aws.call import Call, shown_tags, tags_of, with_tags, without_tags
from ostiary.sandbox.aws.documents import shown_trust, trust_policy
from ostiary.sandbox.aws.iam_attach import ROLE, check_attachable, quoted, shown_boundary
from ostiary.sandbox.aws.iam_state import AwsError, Role

MAX_ROLES = 1_000
Answer = dict[str, Any]


def listed_role(call: Call, role: Role) -> Answer:
    """What ListRoles gives: no tags, no boundary, no last use."""
    shown: Answer = {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": role.arn,
        "CreateDate": role.created,
        "AssumeRolePolicyDocument": quoted(shown_trust(call.cloud, role)),
        "MaxSessionDuration": role.max_session,
    }
    if role.description:
        shown["Description"] = role.description
    return shown


def whole_role(call: Call, role: Role) -> Answer:
    shown = listed_role(call, role)
    if role.tags:
        shown["Tags"] = shown_tags(role.tags)
    if role.boundary:
        shown["PermissionsBoundary"] = shown_boundary(role.boundary)
    shown["RoleLastUsed"] = {} if role.last_used is None else {"LastUsedDate": role.last_used}
    return shown


def create_role(call: Call) -> Answer:
    account, params = call.account, call.params
    name = params["RoleName"]
    if name in account.roles:
        raise AwsError("EntityAlreadyExists", f"Role with name {name} already exists.", 409)
    if len(account.roles) >= MAX_ROLES:
        raise AwsError(
            "LimitExceeded", f"Cannot exceed quota for RolesPerAccount: {MAX_ROLES}", 409
        )
    trust, pins = trust_policy(call.cloud, account, params["AssumeRolePolicyDocument"])
    boundary = params.get("PermissionsBoundary")
    if boundary:
        check_attachable(call, boundary)
    path = params.get("Path", "/")
    role = Role(
        name,
        account.arn(f"role{path}{name}"),
        call.cloud.new_id("AROA"),
        trust,
        path=path,
        description=params.get("Description", ""),
        max_session=params.get("MaxSessionDuration", 3600),
        boundary=boundary,
        tags=tags_of(params),
        created=call.now,
        pins=pins,
    )
    ROLE.put(call, role)
    return {"Role": whole_role(call, role)}


def get_role(call: Call) -> Answer:
    return {"Role": whole_role(call, ROLE.visible(call))}


def list_roles(call: Call) -> Answer:
    prefix = call.params.get("PathPrefix", "/")
    roles = [role for role in call.account.roles.all_seen(call.now) if role.path.startswith(prefix)]
    page = call.page("Roles", roles, lambda role: role.name)
    page["Roles"] = [listed_role(call, role) for role in page["Roles"]]
    return page


def update_role(call: Call) -> Answer:
    role = ROLE.truth(call)
    ROLE.put(
        call,
        replace(
            role,
            description=call.params.get("Description", role.description),
            max_session=call.params.get("MaxSessionDuration", role.max_session),
        ),
    )
    return {}


def update_role_description(call: Call) -> Answer:
    role = replace(ROLE.truth(call), description=call.params["Description"])
    ROLE.put(call, role)
    return {"Role": whole_role(call, role)}


def update_assume_role_policy(call: Call) -> Answer:
    role = ROLE.truth(call)
    trust, pins = trust_policy(call.cloud, call.account, call.params["PolicyDocument"])
    ROLE.put(call, replace(role, trust=trust, pins=pins))
    return {}


def delete_role(call: Call) -> Answer:
    role = ROLE.truth(call)
    if role.managed:
        raise AwsError(
            "DeleteConflict", "Cannot delete entity, must detach all policies first.", 409
        )
    if role.inline:
        raise AwsError("DeleteConflict", "Cannot delete entity, must delete policies first.", 409)
    call.account.roles.remove(role.name, call.seen_from)
    return {}


def tag_role(call: Call) -> Answer:
    role = ROLE.truth(call)
    ROLE.put(call, replace(role, tags=with_tags(role.tags, tags_of(call.params))))
    return {}


def untag_role(call: Call) -> Answer:
    role = ROLE.truth(call)
    ROLE.put(call, replace(role, tags=without_tags(role.tags, call.params["TagKeys"])))
    return {}


def list_role_tags(call: Call) -> Answer:
    page = call.page("Tags", list(ROLE.visible(call).tags.items()), lambda tag: tag[0])
    page["Tags"] = shown_tags(dict(page["Tags"]))
    return page


def put_role_permissions_boundary(call: Call) -> Answer:
    role = ROLE.truth(call)
    check_attachable(call, call.params["PermissionsBoundary"])
    ROLE.put(call, replace(role, boundary=call.params["PermissionsBoundary"]))
    return {}


def delete_role_permissions_boundary(call: Call) -> Answer:
    role = ROLE.truth(call)
    if not role.boundary:
        raise AwsError(
            "NoSuchEntity", f"Role {role.name} does not have a permission boundary.", 404
        )
    ROLE.put(call, replace(role, boundary=None))
    return {}
