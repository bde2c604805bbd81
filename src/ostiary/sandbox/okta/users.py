"""People: ``/api/v1/users`` and their lifecycle. Source: Okta API, "Users"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import groups
from ostiary.sandbox.okta.call import Call, Route, done
from ostiary.sandbox.okta.errors import OktaError, invalid, missing, wrong_state
from ostiary.sandbox.okta.filters import compile_filter
from ostiary.sandbox.okta.ids import stamp
from ostiary.sandbox.okta.objects import User
from ostiary.sandbox.okta.paging import limit_of, page, whole

FILTERED = (
    "status",
    "lastUpdated",
    "id",
    "profile.login",
    "profile.email",
    "profile.firstName",
    "profile.lastName",
)
SEARCHED = ("id", "status", "created", "lastUpdated", "statusChanged", "profile.*")
TIMES = ("gt", "ge", "lt", "le")
# lifecycle verb: (statuses that it starts from, status that it leads to)
LIFECYCLE: Mapping[str, tuple[frozenset[str], str]] = {
    "activate": (frozenset({"STAGED", "DEPROVISIONED"}), "ACTIVE"),
    "deactivate": (
        frozenset({"STAGED", "PROVISIONED", "ACTIVE", "SUSPENDED", "LOCKED_OUT", "RECOVERY"}),
        "DEPROVISIONED",
    ),
    "suspend": (frozenset({"ACTIVE"}), "SUSPENDED"),
    "unsuspend": (frozenset({"SUSPENDED"}), "ACTIVE"),
    "unlock": (frozenset({"LOCKED_OUT"}), "ACTIVE"),
}


def show(call: Call, user: User) -> dict[str, Any]:
    path = f"/api/v1/users/{user.id}"
    credentials: dict[str, Any] = {"provider": {"type": "OKTA", "name": "OKTA"}}
    if user.password is not None:
        credentials["password"] = {}
    return {
        "id": user.id,
        "status": user.status,
        "created": stamp(user.created),
        "activated": stamp(user.created) if user.status != "STAGED" else None,
        "statusChanged": _when(user.status_changed),
        "lastLogin": _when(user.last_login),
        "lastUpdated": stamp(user.updated),
        "passwordChanged": _when(user.password_changed),
        "type": {"id": f"oty{call.org.id[3:]}"},
        "profile": user.profile,
        "credentials": credentials,
        "_links": {"self": call.link(path)},
    }


def _when(at: float | None) -> str | None:
    return None if at is None else stamp(at)


def _values(user: User) -> Mapping[str, Any]:
    return {
        "id": user.id,
        "status": user.status,
        "created": stamp(user.created),
        "lastUpdated": stamp(user.updated),
        "statusChanged": _when(user.status_changed),
        **{f"profile.{name}": value for name, value in user.profile.items()},
    }


def list_users(call: Call) -> Response:
    """Without a filter or search the deactivated are left out."""
    query = call.request.query
    everybody = list(call.org.users.values())
    found = [user for user in everybody if user.status != "DEPROVISIONED"]
    if query.get("q"):
        wanted = query["q"].lower()
        names = ("firstName", "lastName", "email")
        found = [
            user
            for user in found
            if any(str(user.profile[name]).lower().startswith(wanted) for name in names)
        ]
        return whole(call, [show(call, user) for user in found[: limit_of(call, 10, 200)]])
    if query.get("search"):
        operators = ("eq", "sw", "co", "pr", *TIMES)
        test = compile_filter(query["search"], SEARCHED, operators, fold=True)
        found = [user for user in everybody if test(_values(user))]
    elif query.get("filter"):
        test = compile_filter(query["filter"], FILTERED, ("eq", *TIMES))
        found = [user for user in everybody if test(_values(user))]
    return page(
        call,
        found,
        lambda user: show(call, user),
        identity=lambda user: user.id,
        default=200,
        maximum=200,
    )


def create(call: Call) -> Response:
    body = call.body
    profile = body.get("profile")
    if not isinstance(profile, dict):
        raise invalid("profile", "profile: The field cannot be left blank")
    blank = [name for name in ("login", "firstName", "lastName", "email") if not profile.get(name)]
    if blank:
        raise invalid(blank[0], *(f"{name}: The field cannot be left blank" for name in blank))
    if "@" not in profile["login"]:
        raise invalid("login", "login: Username must be in the form of an email address")
    _free(call, profile["login"], None)
    password = ((body.get("credentials") or {}).get("password") or {}).get("value")
    status = "STAGED"
    if call.flag("activate", default=True):
        status = "ACTIVE" if password else "PROVISIONED"
    named = {name: profile[name] for name in profile.keys() - {"login", "firstName", "lastName"}}
    user = call.org.add_user(
        profile["login"],
        password,
        first=profile["firstName"],
        last=profile["lastName"],
        status=status,
        **named,
    )
    for group_id in body.get("groupIds") or []:
        group = call.org.groups.get(group_id)
        if group is None:
            raise missing("UserGroup", group_id)
        groups.editable(group).direct.add(user.id)
    call.record("user.lifecycle.create", (user.id, "User", user.name))
    return Response.of_json(show(call, user))


def get(call: Call) -> Response:
    return Response.of_json(show(call, find(call)))


def update(call: Call) -> Response:
    """POST changes what is given, PUT replaces the profile. Rules see the new profile after their delay."""
    user = find(call)
    body = call.body
    profile = body.get("profile")
    if profile is not None:
        if not isinstance(profile, dict):
            raise invalid("profile", "profile: The field must be an object")
        kept = user.profile if call.request.method == "POST" else {}
        wanted = {**kept, **profile}
        blank = [
            name for name in ("login", "firstName", "lastName", "email") if not wanted.get(name)
        ]
        if blank:
            raise invalid(blank[0], *(f"{name}: The field cannot be left blank" for name in blank))
        _free(call, wanted["login"], user)
        user.profile = wanted
    secret = ((body.get("credentials") or {}).get("password") or {}).get("value")
    if secret:
        user.password, user.password_changed = secret, call.now
    user.updated = call.now
    touched(call, user)
    call.record("user.account.update_profile", (user.id, "User", user.name))
    return Response.of_json(show(call, user))


def lifecycle(call: Call) -> Response:
    user = find(call)
    verb = call.params["verb"]
    if verb not in LIFECYCLE:
        raise missing("User", f"{user.id}/lifecycle/{verb}")
    starts, leads = LIFECYCLE[verb]
    if user.status not in starts:
        if verb == "activate":
            summary = "Activation failed because the user is already active"
            raise OktaError("E0000016", summary, 403)
        raise wrong_state()
    user.status = leads if verb != "activate" or user.password else "PROVISIONED"
    user.failures = user.factor_failures = 0
    user.status_changed = user.updated = call.now
    if verb == "deactivate":
        forget(call, user)
    touched(call, user)
    call.record(f"user.lifecycle.{verb}", (user.id, "User", user.name))
    return Response.of_json({})


def delete(call: Call) -> Response:
    """The first call deactivates, the second deletes, as Okta's own does."""
    user = find(call)
    forget(call, user)
    if user.status != "DEPROVISIONED":
        user.status, user.status_changed = "DEPROVISIONED", call.now
        call.record("user.lifecycle.deactivate", (user.id, "User", user.name))
        return done()
    del call.org.users[user.id]
    call.record("user.lifecycle.delete.completed", (user.id, "User", user.name))
    return done()


def list_groups(call: Call) -> Response:
    user = find(call)
    return page(
        call,
        call.org.groups_of(user.id),
        lambda group: groups.show(call, group),
        identity=lambda group: group.id,
        default=200,
        maximum=1000,
    )


def forget(call: Call, user: User) -> None:
    """A deactivated person keeps no group, no assignment, no session and no refresh token."""
    org = call.org
    for group in org.groups.values():
        if group.kind != "BUILT_IN" and org.holds(group, user.id):
            group.direct.discard(user.id)
            for given in group.by_rule.values():
                given.discard(user.id)
            group.membership_updated = call.now
    for app in org.apps.values():
        app.users.pop(user.id, None)
    for cookie in [known for known, held in org.sessions.items() if held.user_id == user.id]:
        del org.sessions[cookie]
    for value in [v for v, held in org.refresh_tokens.items() if held.proven.user_id == user.id]:
        del org.refresh_tokens[value]


def touched(call: Call, user: User) -> None:
    """Let the rules look at this person again, after their delay."""
    call.org.dirty_users.setdefault(user.id, call.now + call.world.switches.rule_delay)


def find(call: Call) -> User:
    user = call.org.user(call.params["user"])
    if user is None:
        raise missing("User", call.params["user"])
    return user


def _free(call: Call, login: str, own: User | None) -> None:
    taken = any(
        user.login.lower() == login.lower() and user is not own for user in call.org.users.values()
    )
    if taken:
        raise invalid(
            "login", "login: An object with this field already exists in the current organization"
        )


READ, MANAGE = "okta.users.read", "okta.users.manage"
ROUTES = (
    Route("GET", "/api/v1/users", READ, list_users),
    Route("POST", "/api/v1/users", MANAGE, create),
    Route("GET", "/api/v1/users/{user}", READ, get),
    Route("POST", "/api/v1/users/{user}", MANAGE, update),
    Route("PUT", "/api/v1/users/{user}", MANAGE, update),
    Route("DELETE", "/api/v1/users/{user}", MANAGE, delete),
    Route("POST", "/api/v1/users/{user}/lifecycle/{verb}", MANAGE, lifecycle),
    Route("GET", "/api/v1/users/{user}/groups", READ, list_groups),
)
