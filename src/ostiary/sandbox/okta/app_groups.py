"""Groups assigned to an app: ``/api/v1/apps/{app}/groups``. Source: Okta API, "Application Groups"."""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import app_profiles, apps, groups
from ostiary.sandbox.okta.call import Call, Route, done
from ostiary.sandbox.okta.errors import invalid, malformed, missing
from ostiary.sandbox.okta.ids import stamp
from ostiary.sandbox.okta.objects import App, AppGroup, Group
from ostiary.sandbox.okta.paging import page

HIGHEST, LOWEST = 0, 100  # 0 is the highest priority


def show(call: Call, app: App, group_id: str) -> dict[str, Any]:
    assignment = app.groups[group_id]
    path = f"/api/v1/apps/{app.id}"
    shown: dict[str, Any] = {
        "id": group_id,
        "lastUpdated": stamp(assignment.updated),
        "priority": assignment.priority,
        "profile": app_profiles.filled(app, assignment.profile),
        "_links": {
            "app": call.link(path),
            "self": call.link(f"{path}/groups/{group_id}"),
            "group": call.link(f"/api/v1/groups/{group_id}"),
        },
    }
    if call.request.query.get("expand") == "group":
        shown["_embedded"] = {"group": groups.show(call, call.org.groups[group_id])}
    return shown


def list_assignments(call: Call) -> Response:
    app = apps.find(call)
    wanted = call.request.query.get("q", "").lower()
    found = sorted(
        (known for known in app.groups if call.org.groups[known].name.lower().startswith(wanted)),
        key=lambda known: (app.groups[known].priority, known),
    )
    return page(
        call,
        found,
        lambda known: show(call, app, known),
        identity=lambda known: known,
        default=20,
        maximum=200,
    )


def get(call: Call) -> Response:
    app, group = apps.find(call), _group(call)
    return Response.of_json(show(call, app, _assigned(app, group)))


def assign(call: Call) -> Response:
    """Assign, or replace what is assigned. A priority that is taken moves the others down."""
    app, group = apps.find(call), _group(call)
    body = call.body if call.request.body.strip() else {}
    profile = app_profiles.checked(app, body.get("profile") or {})
    wanted = body.get("priority")
    if wanted is None:
        known = app.groups.get(group.id)
        priority = known.priority if known else _next(app)
    else:
        priority = _priority(wanted)
        _make_room(app, group.id, priority)
    app.groups[group.id] = AppGroup(priority, profile, call.now)
    app.groups[group.id].updated = call.now
    call.record("group.application_assignment.add", *_targets(app, group))
    return Response.of_json(show(call, app, group.id))


def patch(call: Call) -> Response:
    """JSON Patch with ``replace`` of ``/priority`` or ``/profile/<name>``."""
    app, group = apps.find(call), _group(call)
    assignment = app.groups[_assigned(app, group)]
    try:
        steps = call.request.json
    except ValueError as error:
        raise malformed() from error
    if not isinstance(steps, list):
        raise malformed()
    profile, priority = dict(assignment.profile), assignment.priority
    for step in steps:
        path, value = str(step.get("path")), step.get("value")
        if step.get("op") != "replace":
            raise invalid("op", "op: Only replace is supported.")
        if path == "/priority":
            priority = _priority(value)
        elif path == "/profile" and isinstance(value, dict):
            profile = value
        elif path.startswith("/profile/"):
            profile[path.removeprefix("/profile/")] = value
        else:
            raise invalid("path", f"path: {path} cannot be replaced.")
    profile = app_profiles.checked(app, profile)
    _make_room(app, group.id, priority)
    app.groups[group.id] = AppGroup(priority, profile, call.now)
    call.record("group.application_assignment.update", *_targets(app, group))
    return Response.of_json(show(call, app, group.id))


def unassign(call: Call) -> Response:
    app, group = apps.find(call), _group(call)
    del app.groups[_assigned(app, group)]
    call.record("group.application_assignment.remove", *_targets(app, group))
    return done()


def _group(call: Call) -> Group:
    return groups.find(call)


def _assigned(app: App, group: Group) -> str:
    if group.id not in app.groups:
        raise missing("ApplicationGroupAssignment", group.id)
    return group.id


def _next(app: App) -> int:
    return max((known.priority for known in app.groups.values()), default=HIGHEST - 1) + 1


def _priority(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not HIGHEST <= value <= LOWEST:
        raise invalid("priority", f"priority: must be {HIGHEST} to {LOWEST}.")
    return value


def _make_room(app: App, group_id: str, priority: int) -> None:
    others = {known: item for known, item in app.groups.items() if known != group_id}
    if any(item.priority == priority for item in others.values()):
        for item in others.values():
            if item.priority >= priority:
                item.priority += 1


def _targets(app: App, group: Group) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    return (group.id, "UserGroup", group.name), (app.id, "AppInstance", app.label)


READ, MANAGE = "okta.apps.read", "okta.apps.manage"
ROUTES = (
    Route("GET", "/api/v1/apps/{app}/groups", READ, list_assignments),
    Route("GET", "/api/v1/apps/{app}/groups/{group}", READ, get),
    Route("PUT", "/api/v1/apps/{app}/groups/{group}", MANAGE, assign),
    Route("PATCH", "/api/v1/apps/{app}/groups/{group}", MANAGE, patch),
    Route("DELETE", "/api/v1/apps/{app}/groups/{group}", MANAGE, unassign),
)
