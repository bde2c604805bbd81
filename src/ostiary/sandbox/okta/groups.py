"""Groups: ``/api/v1/groups``. Source: Okta API, "Groups"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import rule_engine
from ostiary.sandbox.okta.call import Call, Route, done
from ostiary.sandbox.okta.errors import forbidden, invalid, missing
from ostiary.sandbox.okta.filters import compile_filter
from ostiary.sandbox.okta.ids import stamp
from ostiary.sandbox.okta.objects import Group
from ostiary.sandbox.okta.paging import page, whole

MAX_NAME = 255
MAX_DESCRIPTION = 1024
FILTERED = ("id", "type", "lastUpdated", "lastMembershipUpdated")
SEARCHED = (*FILTERED, "created", "source.id", "profile.*")
TIMES = ("gt", "ge", "lt", "le")


def show(call: Call, group: Group, *, expand: str = "") -> dict[str, Any]:
    path = f"/api/v1/groups/{group.id}"
    links: dict[str, Any] = {
        "logo": [],
        "users": call.link(f"{path}/users"),
        "apps": call.link(f"{path}/apps"),
    }
    if group.source_app:
        links["source"] = call.link(f"/api/v1/apps/{group.source_app}")
    shown = {
        "id": group.id,
        "created": stamp(group.created),
        "lastUpdated": stamp(group.updated),
        "lastMembershipUpdated": stamp(group.membership_updated),
        "objectClass": [
            "okta:windows_security_principal" if group.source_app else "okta:user_group"
        ],
        "type": group.kind,
        "profile": {"name": group.name, "description": group.description},
        "_links": links,
    }
    embedded = _embedded(call, group, set(expand.split(",")))
    return {**shown, "_embedded": embedded} if embedded else shown


def _embedded(call: Call, group: Group, expand: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "stats" in expand:
        found["stats"] = {
            "usersCount": len(call.org.members(group)),
            "appsCount": sum(group.id in app.groups for app in call.org.apps.values()),
            "groupPushMappingsCount": 0,
            "hasAdminPrivilege": False,
        }
    if "app" in expand and group.source_app:
        app = call.org.apps[group.source_app]
        found["app"] = {"id": app.id, "name": app.key, "label": app.label, "status": app.status}
    return found


def _values(group: Group) -> Mapping[str, Any]:
    """The group as filters see it."""
    return {
        "id": group.id,
        "type": group.kind,
        "created": stamp(group.created),
        "lastUpdated": stamp(group.updated),
        "lastMembershipUpdated": stamp(group.membership_updated),
        "source.id": group.source_app,
        "profile.name": group.name,
        "profile.description": group.description,
    }


def list_groups(call: Call) -> Response:
    query = call.request.query
    found = list(call.org.groups.values())
    expand = query.get("expand", "")
    if query.get("q"):
        wanted = query["q"].lower()
        found = [group for group in found if group.name.lower().startswith(wanted)]
        limit = int(query.get("limit", "300")) if query.get("limit", "300").isdigit() else 300
        return whole(call, [show(call, group, expand=expand) for group in found[: min(limit, 300)]])
    if query.get("search"):
        operators = ("eq", "sw", "co", "pr", *TIMES)
        test = compile_filter(query["search"], SEARCHED, operators, fold=True)
        found = [group for group in found if test(_values(group))]
        _sort(found, query)
    elif query.get("filter"):
        test = compile_filter(query["filter"], FILTERED, ("eq", *TIMES))
        found = [group for group in found if test(_values(group))]
    return page(
        call,
        found,
        lambda group: show(call, group, expand=expand),
        identity=lambda group: group.id,
        default=10_000,
        maximum=10_000,
    )


def _sort(found: list[Group], query: Mapping[str, str]) -> None:
    by = query.get("sortBy")
    if by:
        if by not in SEARCHED[:-1] and by not in ("profile.name", "profile.description"):
            raise invalid("sortBy", f"sortBy: Cannot sort by {by}.")
        found.sort(key=lambda group: (str(_values(group)[by] or ""), group.id))
        if query.get("sortOrder", "asc").lower() == "desc":
            found.reverse()


def create(call: Call) -> Response:
    name, description = _profile(call, None)
    group = call.org.add_group(name)
    group.description = description
    call.record("group.lifecycle.create", _target(group))
    return Response.of_json(show(call, group))


def get(call: Call) -> Response:
    expand = call.request.query.get("expand", "")
    return Response.of_json(show(call, find(call), expand=expand))


def replace(call: Call) -> Response:
    group = editable(find(call))
    group.name, group.description = _profile(call, group)
    group.updated = call.now
    call.record("group.profile.update", _target(group))
    return Response.of_json(show(call, group))


def delete(call: Call) -> Response:
    """Assignments of the group go with it; rules that name it become INVALID."""
    group = editable(find(call), imported=True)
    org = call.org
    for known in org.members(group):
        org.dirty_users.setdefault(known, call.now + call.world.switches.rule_delay)
    del org.groups[group.id]
    for app in org.apps.values():
        app.groups.pop(group.id, None)
    rule_engine.invalidate(org, group.id)
    call.record("group.lifecycle.delete", _target(group))
    return done()


def find(call: Call) -> Group:
    group = call.org.groups.get(call.params["group"])
    if group is None:
        raise missing("UserGroup", call.params["group"])
    return group


def editable(group: Group, *, imported: bool = False) -> Group:
    """Refuse groups that only their own source changes."""
    if group.kind == "BUILT_IN" or (group.kind == "APP_GROUP" and not imported):
        raise forbidden()
    return group


def _profile(call: Call, group: Group | None) -> tuple[str, str | None]:
    profile = call.body.get("profile")
    if not isinstance(profile, dict):
        raise invalid("profile", "profile: The field cannot be left blank")
    name, description = profile.get("name"), profile.get("description")
    unknown = sorted(profile.keys() - {"name", "description"})
    if unknown:
        raise invalid("profile", f"{unknown[0]}: The property is not in the group's schema.")
    if not isinstance(name, str) or not name.strip():
        raise invalid("name", "name: The field cannot be left blank")
    if len(name) > MAX_NAME:
        raise invalid("name", f"name: The field is too long, the maximum is {MAX_NAME}.")
    if description is not None and not isinstance(description, str):
        raise invalid("description", "description: The field must be a text.")
    if len(description or "") > MAX_DESCRIPTION:
        raise invalid(
            "description", f"description: The field is too long, the maximum is {MAX_DESCRIPTION}."
        )
    clash = any(
        other.name == name and other is not group and other.kind != "APP_GROUP"
        for other in call.org.groups.values()
    )
    if clash:
        raise invalid(
            "name", "name: An object with this field already exists in the current organization"
        )
    return name, description or None


def _target(group: Group) -> tuple[str, str, str]:
    return group.id, "UserGroup", group.name


READ, MANAGE = "okta.groups.read", "okta.groups.manage"
ROUTES = (
    Route("GET", "/api/v1/groups", READ, list_groups),
    Route("POST", "/api/v1/groups", MANAGE, create),
    Route("GET", "/api/v1/groups/{group}", READ, get),
    Route("PUT", "/api/v1/groups/{group}", MANAGE, replace),
    Route("DELETE", "/api/v1/groups/{group}", MANAGE, delete),
)
