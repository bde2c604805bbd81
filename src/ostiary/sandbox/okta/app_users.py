"""People assigned to an app: ``/api/v1/apps/{app}/users``; ``scope`` says whether by name or through a group."""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import app_profiles, apps
from ostiary.sandbox.okta.call import Call, Route, done
from ostiary.sandbox.okta.errors import invalid, missing
from ostiary.sandbox.okta.ids import stamp
from ostiary.sandbox.okta.objects import App, AppUser, User
from ostiary.sandbox.okta.paging import page


def show(call: Call, app: App, user: User) -> dict[str, Any]:
    own = app.users.get(user.id)
    path = f"/api/v1/apps/{app.id}"
    links: dict[str, Any] = {"app": call.link(path), "user": call.link(f"/api/v1/users/{user.id}")}
    created, updated, name = app.created, app.updated, user.login
    if own is not None:
        profile, created, updated, name = own.profile, own.created, own.updated, own.user_name
    else:
        first = min(_groups(call, app, user), key=lambda known: app.groups[known].priority)
        profile, created = app.groups[first].profile, app.groups[first].updated
        updated = created
        links["group"] = call.link(f"/api/v1/groups/{first}")
    return {
        "id": user.id,
        "externalId": None,
        "created": stamp(created),
        "lastUpdated": stamp(updated),
        "scope": "USER" if own is not None else "GROUP",
        "status": "ACTIVE",
        "statusChanged": stamp(updated),
        "passwordChanged": None,
        "syncState": "DISABLED",
        "credentials": {"userName": name},
        "profile": app_profiles.filled(app, {"email": user.profile.get("email"), **profile}),
        "_links": links,
    }


def _groups(call: Call, app: App, user: User) -> list[str]:
    return [known for known in app.groups if call.org.holds(call.org.groups[known], user.id)]


def list_assigned(call: Call) -> Response:
    app = apps.find(call)
    inherited: set[str] = set().union(
        *(call.org.members(call.org.groups[known]) for known in app.groups)
    )
    wanted = call.request.query.get("q", "").lower()
    found = [
        user
        for user in call.org.users.values()
        if (user.id in app.users or user.id in inherited) and user.login.lower().startswith(wanted)
    ]
    return page(
        call,
        found,
        lambda user: show(call, app, user),
        identity=lambda user: user.id,
        default=50,
        maximum=500,
    )


def get(call: Call) -> Response:
    app = apps.find(call)
    return Response.of_json(show(call, app, _assigned(call, app)))


def assign(call: Call) -> Response:
    """Assigning somebody who has the app through a group makes the assignment their own."""
    app, body = apps.find(call), call.body
    user = call.org.users.get(str(body.get("id")))
    if user is None:
        raise missing("User", str(body.get("id")))
    if body.get("scope", "USER") != "USER":
        raise invalid("scope", "scope: Only USER can be assigned here.")
    if user.status == "DEPROVISIONED":
        raise invalid("id", "id: The user is deactivated.")
    profile = app_profiles.checked(app, body.get("profile") or {})
    name = (body.get("credentials") or {}).get("userName") or user.login
    app.users[user.id] = AppUser(name, profile, call.now, call.now)
    call.record("application.user_membership.add", *_targets(app, user))
    return Response.of_json(show(call, app, user))


def update(call: Call) -> Response:
    app = apps.find(call)
    user, body = _assigned(call, app), call.body
    known = app.users.get(user.id) or AppUser(user.login, {}, call.now, call.now)
    changed = {**known.profile, **(body.get("profile") or {})}
    known.profile = app_profiles.checked(app, changed)
    known.user_name = (body.get("credentials") or {}).get("userName") or known.user_name
    known.updated = call.now
    app.users[user.id] = known
    call.record("application.user_membership.update", *_targets(app, user))
    return Response.of_json(show(call, app, user))


def unassign(call: Call) -> Response:
    app = apps.find(call)
    user = _assigned(call, app)
    if user.id not in app.users:
        raise invalid(
            "scope", "The user is assigned through a group and cannot be unassigned alone."
        )
    del app.users[user.id]
    call.record("application.user_membership.remove", *_targets(app, user))
    return done()


def _assigned(call: Call, app: App) -> User:
    user = call.org.users.get(call.params["user"])
    if user is None or not apps.assigned(call, app, user):
        raise missing("AppUser", call.params["user"])
    return user


def _targets(app: App, user: User) -> tuple[tuple[str, str, str], ...]:
    return (
        (f"0ua{user.id[3:]}", "AppUser", user.name),
        (app.id, "AppInstance", app.label),
        (user.id, "User", user.name),
    )


READ, MANAGE = "okta.apps.read", "okta.apps.manage"
ROUTES = (
    Route("GET", "/api/v1/apps/{app}/users", READ, list_assigned),
    Route("POST", "/api/v1/apps/{app}/users", MANAGE, assign),
    Route("GET", "/api/v1/apps/{app}/users/{user}", READ, get),
    Route("POST", "/api/v1/apps/{app}/users/{user}", MANAGE, update),
    Route("DELETE", "/api/v1/apps/{app}/users/{user}", MANAGE, unassign),
)
