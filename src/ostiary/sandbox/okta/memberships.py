"""Who is in a group: ``/api/v1/groups/{group}/users`` and the group's apps."""

from __future__ import annotations

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import apps, groups, users
from ostiary.sandbox.okta.call import Call, Route, done
from ostiary.sandbox.okta.errors import invalid
from ostiary.sandbox.okta.objects import Group, User
from ostiary.sandbox.okta.paging import page
from ostiary.sandbox.okta.rules import MAX_EXCLUDED


def list_members(call: Call) -> Response:
    group = groups.find(call)
    members = call.org.members(group)
    return page(
        call,
        [user for user in call.org.users.values() if user.id in members],
        lambda user: users.show(call, user),
        identity=lambda user: user.id,
        default=1000,
        maximum=1000,
    )


def list_apps(call: Call) -> Response:
    group = groups.find(call)
    return page(
        call,
        [app for app in call.org.apps.values() if group.id in app.groups],
        lambda app: apps.show(call, app),
        identity=lambda app: app.id,
        default=20,
        maximum=200,
    )


def add(call: Call) -> Response:
    group, user = groups.editable(groups.find(call)), users.find(call)
    if user.status == "DEPROVISIONED":
        raise invalid("userId", "The user is deactivated.")
    if not call.org.holds(group, user.id):
        group.direct.add(user.id)
        _changed(call, group, user, "add")
    return done()


def remove(call: Call) -> Response:
    """Taking out a member that a rule gave puts the person on that rule's exception list."""
    group, user = groups.editable(groups.find(call)), users.find(call)
    if not call.org.holds(group, user.id):
        return done()
    for rule_id, given in group.by_rule.items():
        if user.id in given:
            rule = call.org.rules[rule_id]
            if len(rule.excluded) >= MAX_EXCLUDED:
                raise invalid("exclude", f"Rule {rule.name} already excludes {MAX_EXCLUDED} users.")
            rule.excluded.append(user.id)
            given.discard(user.id)
    group.direct.discard(user.id)
    _changed(call, group, user, "remove")
    return done()


def _changed(call: Call, group: Group, user: User, verb: str) -> None:
    group.membership_updated = call.now
    due = call.now + call.world.switches.rule_delay
    call.org.dirty_users.setdefault(user.id, due)
    call.record(
        f"group.user_membership.{verb}",
        (user.id, "User", user.name),
        (group.id, "UserGroup", group.name),
    )


READ, MANAGE = "okta.groups.read", "okta.groups.manage"
ROUTES = (
    Route("GET", "/api/v1/groups/{group}/users", READ, list_members),
    Route("GET", "/api/v1/groups/{group}/apps", READ, list_apps),
    Route("PUT", "/api/v1/groups/{group}/users/{user}", MANAGE, add),
    Route("DELETE", "/api/v1/groups/{group}/users/{user}", MANAGE, remove),
)
