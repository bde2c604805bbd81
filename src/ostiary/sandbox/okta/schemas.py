"""The user schema of an app: ``/api/v1/meta/schemas/apps/{app}/default``, and the switch of the sandbox beside it."""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import apps
from ostiary.sandbox.okta.call import Call, Route
from ostiary.sandbox.okta.errors import invalid
from ostiary.sandbox.okta.objects import App


def show(call: Call, app: App) -> dict[str, Any]:
    path = f"/api/v1/meta/schemas/apps/{app.id}/default"
    properties: dict[str, Any] = {
        "userName": {"title": "Username", "type": "string", "required": True, "scope": "NONE"}
    }
    if app.key == "amazon_aws":
        properties["email"] = {"title": "Email", "type": "string", "scope": "NONE"}
        properties["role"] = {
            "title": "Role",
            "type": "string",
            "scope": "NONE",
            **({"enum": app.role_enum} if app.role_enum else {}),
        }
        properties["samlRoles"] = {
            "title": "SAML User Roles",
            "type": "array",
            "scope": "NONE",
            "items": {"type": "string", **({"enum": app.role_enum} if app.role_enum else {})},
            "union": "ENABLE" if app.role_union else "DISABLE",
        }
    return {
        "id": call.href(path),
        "$schema": "http://json-schema.org/draft-04/schema#",
        "name": app.label,
        "title": f"{app.label} User",
        "type": "object",
        "definitions": {
            "custom": {"id": "#custom", "type": "object", "properties": {}, "required": []},
            "base": {
                "id": "#base",
                "type": "object",
                "properties": properties,
                "required": ["userName"],
            },
        },
        "properties": {"allOf": [{"$ref": "#/definitions/base"}, {"$ref": "#/definitions/custom"}]},
        "_links": {"self": call.link(path)},
    }


def get(call: Call) -> Response:
    return Response.of_json(show(call, apps.find(call)))


def update(call: Call) -> Response:
    """Of the base properties only ``union`` of ``samlRoles`` ("combine values across groups") can change."""
    app, body = apps.find(call), call.body
    definitions = body.get("definitions") or {}
    if (definitions.get("custom") or {}).get("properties"):
        raise invalid("definitions.custom", "custom: Custom properties are not simulated.")
    changes = (definitions.get("base") or {}).get("properties") or {}
    roles = changes.get("samlRoles") or {}
    union = roles.get("union", "ENABLE" if app.role_union else "DISABLE")
    if union not in ("ENABLE", "DISABLE"):
        raise invalid("samlRoles.union", "union: must be ENABLE or DISABLE")
    app.role_union = union == "ENABLE"
    return Response.of_json(show(call, app))


def switch_on(call: Call) -> Response:
    """Not Okta: bring the role names that Okta's API integration would have downloaded."""
    app = apps.find(call)
    call.org.enable_api_integration(app, [str(role) for role in call.body.get("roles") or []])
    return Response.of_json({"id": app.id, "roles": app.role_enum})


ROUTES = (
    Route("GET", "/api/v1/meta/schemas/apps/{app}/default", "okta.schemas.read", get),
    Route("POST", "/api/v1/meta/schemas/apps/{app}/default", "okta.schemas.manage", update),
    Route("POST", "/sandbox/apps/{app}/api-integration", "okta.apps.manage", switch_on),
)
