"""IAM users and groups: as much as entering an account by a user and breaking the glass need.

Source: IAM API Reference, CreateUser … ListGroupsForUser.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ostiary.sandbox.aws.call import Call, shown_tags, tags_of, with_tags, without_tags
from ostiary.sandbox.aws.iam_attach import GROUP, USER, check_attachable, shown_boundary
from ostiary.sandbox.aws.iam_state import AccessKey, AwsError, IamGroup, IamUser

MAX_KEYS = 2
Answer = dict[str, Any]


def with_own_name(call: Call) -> None:
    """Calls about a user that name none mean the caller itself."""
    if "UserName" not in call.params and isinstance(call.principal.entity, IamUser):
        call.params["UserName"] = call.principal.entity.name


def _required(call: Call) -> None:
    with_own_name(call)
    if "UserName" not in call.params:
        raise AwsError(
            "ValidationError", "Must specify userName when calling with non-User credentials"
        )


def shown_user(user: IamUser, *, listed: bool = False) -> Answer:
    shown: Answer = {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.id,
        "Arn": user.arn,
        "CreateDate": user.created,
    }
    if not listed:
        if user.tags:
            shown["Tags"] = shown_tags(user.tags)
        if user.boundary:
            shown["PermissionsBoundary"] = shown_boundary(user.boundary)
    return shown


def create_user(call: Call) -> Answer:
    account, name = call.account, call.params["UserName"]
    if name in account.users:
        raise AwsError("EntityAlreadyExists", f"User with name {name} already exists.", 409)
    if boundary := call.params.get("PermissionsBoundary"):
        check_attachable(call, boundary)
    path = call.params.get("Path", "/")
    user = IamUser(
        name,
        account.arn(f"user{path}{name}"),
        call.cloud.new_id("AIDA"),
        path=path,
        tags=tags_of(call.params),
        boundary=boundary,
        created=call.now,
    )
    USER.put(call, user)
    return {"User": shown_user(user)}


def get_user(call: Call) -> Answer:
    _required(call)
    return {"User": shown_user(USER.visible(call))}


def list_users(call: Call) -> Answer:
    prefix = call.params.get("PathPrefix", "/")
    users = [user for user in call.account.users.all_seen(call.now) if user.path.startswith(prefix)]
    page = call.page("Users", users, lambda user: user.name)
    page["Users"] = [shown_user(user, listed=True) for user in page["Users"]]
    return page


def delete_user(call: Call) -> Answer:
    user: IamUser = USER.truth(call)
    for held, word in (
        (user.managed, "detach all policies"),
        (user.inline, "delete policies"),
        (user.access_keys, "delete access keys"),
        (user.login_profile, "delete login profile"),
        (user.groups, "remove users from group"),
    ):
        if held:
            raise AwsError("DeleteConflict", f"Cannot delete entity, must {word} first.", 409)
    call.account.users.remove(user.name, call.seen_from)
    return {}


def tag_user(call: Call) -> Answer:
    user = USER.truth(call)
    return USER.put(call, replace(user, tags=with_tags(user.tags, tags_of(call.params))))


def untag_user(call: Call) -> Answer:
    user = USER.truth(call)
    return USER.put(call, replace(user, tags=without_tags(user.tags, call.params["TagKeys"])))


def list_user_tags(call: Call) -> Answer:
    page = call.page("Tags", list(USER.visible(call).tags.items()), lambda tag: tag[0])
    page["Tags"] = shown_tags(dict(page["Tags"]))
    return page


# access keys and passwords


def create_access_key(call: Call) -> Answer:
    _required(call)
    user: IamUser = USER.truth(call)
    if len(user.access_keys) >= MAX_KEYS:
        raise AwsError(
            "LimitExceeded", f"Cannot exceed quota for AccessKeysPerUser: {MAX_KEYS}", 409
        )
    key = call.cloud.new_access_key(call.account.id, user.name)
    USER.put(call, replace(user, access_keys=(*user.access_keys, key)))
    return {"AccessKey": _shown_key(key) | {"SecretAccessKey": key.secret}}


def _shown_key(key: AccessKey) -> Answer:
    return {
        "UserName": key.user,
        "AccessKeyId": key.id,
        "Status": "Active" if key.active else "Inactive",
        "CreateDate": key.created,
    }


def list_access_keys(call: Call) -> Answer:
    _required(call)
    page = call.page("AccessKeyMetadata", USER.visible(call).access_keys, lambda key: key.id)
    page["AccessKeyMetadata"] = [_shown_key(key) for key in page["AccessKeyMetadata"]]
    return page


def _key(call: Call, user: IamUser) -> AccessKey:
    wanted = call.params["AccessKeyId"]
    for key in user.access_keys:
        if key.id == wanted:
            return key
    raise AwsError("NoSuchEntity", f"The Access Key with id {wanted} cannot be found.", 404)


def update_access_key(call: Call) -> Answer:
    _required(call)
    _key(call, USER.truth(call)).active = call.params["Status"] == "Active"
    return {}


def delete_access_key(call: Call) -> Answer:
    _required(call)
    user: IamUser = USER.truth(call)
    key = _key(call, user)
    call.cloud.keys.pop(key.id, None)
    left = tuple(one for one in user.access_keys if one is not key)
    return USER.put(call, replace(user, access_keys=left))


def create_login_profile(call: Call) -> Answer:
    _required(call)
    user: IamUser = USER.truth(call)
    if user.login_profile:
        raise AwsError(
            "EntityAlreadyExists", f"Login Profile for user {user.name} already exists.", 409
        )
    USER.put(call, replace(user, login_profile=True))
    return {"LoginProfile": {"UserName": user.name, "CreateDate": call.now}}


def _no_profile(user: IamUser) -> AwsError:
    return AwsError("NoSuchEntity", f"Login Profile for User {user.name} cannot be found.", 404)


def get_login_profile(call: Call) -> Answer:
    _required(call)
    user: IamUser = USER.visible(call)
    if not user.login_profile:
        raise _no_profile(user)
    return {"LoginProfile": {"UserName": user.name, "CreateDate": user.created}}


def delete_login_profile(call: Call) -> Answer:
    _required(call)
    user: IamUser = USER.truth(call)
    if not user.login_profile:
        raise _no_profile(user)
    return USER.put(call, replace(user, login_profile=False))


# groups


def shown_group(group: IamGroup) -> Answer:
    return {
        "Path": group.path,
        "GroupName": group.name,
        "GroupId": group.id,
        "Arn": group.arn,
        "CreateDate": group.created,
    }


def create_group(call: Call) -> Answer:
    account, name = call.account, call.params["GroupName"]
    if name in account.groups:
        raise AwsError("EntityAlreadyExists", f"Group with name {name} already exists.", 409)
    path = call.params.get("Path", "/")
    group = IamGroup(
        name, account.arn(f"group{path}{name}"), call.cloud.new_id("AGPA"), path, created=call.now
    )
    GROUP.put(call, group)
    return {"Group": shown_group(group)}


def list_groups(call: Call) -> Answer:
    page = call.page("Groups", call.account.groups.all_seen(call.now), lambda group: group.name)
    page["Groups"] = [shown_group(group) for group in page["Groups"]]
    return page


def list_groups_for_user(call: Call) -> Answer:
    user: IamUser = USER.visible(call)
    groups = [call.account.groups.seen(name, call.now) for name in user.groups]
    page = call.page(
        "Groups", [group for group in groups if group is not None], lambda group: group.name
    )
    page["Groups"] = [shown_group(group) for group in page["Groups"]]
    return page


def add_user_to_group(call: Call) -> Answer:
    group, user = GROUP.truth(call), USER.truth(call)
    if group.name in user.groups:
        return {}
    return USER.put(call, replace(user, groups=(*user.groups, group.name)))


def remove_user_from_group(call: Call) -> Answer:
    group, user = GROUP.truth(call), USER.truth(call)
    left = tuple(name for name in user.groups if name != group.name)
    return USER.put(call, replace(user, groups=left))


def delete_group(call: Call) -> Answer:
    group = GROUP.truth(call)
    if (
        group.managed
        or group.inline
        or any(group.name in user.groups for user in call.account.users)
    ):
        raise AwsError(
            "DeleteConflict", "Cannot delete entity, must remove users and policies first.", 409
        )
    call.account.groups.remove(group.name, call.seen_from)
    return {}
