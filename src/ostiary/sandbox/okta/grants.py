"""What an OAuth client may do: its scope grants and its admin roles. Only a super administrator gives either."""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import apps
from ostiary.sandbox.okta.call import Call, Route, done
from ostiary.sandbox.okta.errors import forbidden, invalid, missing
from ostiary.sandbox.okta.objects import App
from ostiary.sandbox.okta.paging import whole
from ostiary.sandbox.okta.principals import ROLES


def _super(call: Call) -> None:
    if "SUPER_ADMIN" not in call.principal.roles:
        raise forbidden()


def _show(call: Call, app: App, scope: str) -> dict[str, Any]:
    return {
        "id": app.grants[scope],
        "status": "ACTIVE",
        "scopeId": scope,
        "issuer": call.origin,
        "clientId": app.id,
        "source": "ADMIN",
    }


def list_grants(call: Call) -> Response:
    app = apps.find(call)
    return whole(call, [_show(call, app, scope) for scope in app.grants])


def grant(call: Call) -> Response:
    _super(call)
    app, body = apps.find(call), call.body
    scope = body.get("scopeId")
    if not isinstance(scope, str) or not scope.startswith("okta."):
        raise invalid("scopeId", "scopeId: The scope is not an Okta API scope.")
    if body.get("issuer") != call.origin:
        raise invalid("issuer", "issuer: must be the URL of the org.")
    app.grants[scope] = app.grants.get(scope) or call.org.mint("oag")
    call.record("app.oauth2.as.consent.grant", (app.id, "AppInstance", app.label))
    return Response.of_json(_show(call, app, scope))


def revoke(call: Call) -> Response:
    _super(call)
    app = apps.find(call)
    scope = next((known for known, id_ in app.grants.items() if id_ == call.params["grant"]), None)
    if scope is None:
        raise missing("OAuth2ScopeConsentGrant", call.params["grant"])
    del app.grants[scope]
    return done()


def list_roles(call: Call) -> Response:
    app = _client(call)
    return whole(call, [_show_role(id_, role) for id_, role in app.admin_roles.items()])


def add_role(call: Call) -> Response:
    _super(call)
    app, role = _client(call), call.body.get("type")
    if role not in ROLES:
        raise invalid("type", f"type: {role} is not a standard role.")
    if role in app.admin_roles.values():
        raise invalid("type", "The role specified is already assigned to the client.")
    id_ = call.org.mint("irb")
    app.admin_roles[id_] = role
    return Response.of_json(_show_role(id_, role), 201)


def remove_role(call: Call) -> Response:
    _super(call)
    app = _client(call)
    if app.admin_roles.pop(call.params["role"], None) is None:
        raise missing("Role", call.params["role"])
    return done()


def list_user_roles(call: Call) -> Response:
    """The admin roles of a person, or of the administrator behind an API token."""
    wanted = call.params["user"]
    owners = [token.owner for token in call.org.api_tokens.values()]
    known = [*call.org.users.values(), *owners]
    user = next((user for user in known if user.id == wanted), None)
    if user is None:
        raise missing("User", wanted)
    id_ = f"ra1{user.id[3:]}"
    return whole(call, [_show_role(id_, user.admin_role)] if user.admin_role else [])


def _show_role(id_: str, role: str) -> dict[str, Any]:
    label = role.replace("_", " ").title()
    return {"id": id_, "label": label, "type": role, "status": "ACTIVE", "assignmentType": "CLIENT"}


def _client(call: Call) -> App:
    app = call.org.apps.get(call.params["client"])
    if app is None or app.key != "oidc_client":
        raise missing("OAuth2Client", call.params["client"])
    return app


READ_ROLES = "okta.roles.read"
CLIENT_ROLES = "/oauth2/v1/clients/{client}/roles"
ROUTES = (
    Route("GET", "/api/v1/apps/{app}/grants", "okta.appGrants.read", list_grants),
    Route("POST", "/api/v1/apps/{app}/grants", "okta.appGrants.manage", grant),
    Route("DELETE", "/api/v1/apps/{app}/grants/{grant}", "okta.appGrants.manage", revoke),
    Route("GET", CLIENT_ROLES, READ_ROLES, list_roles),
    Route("GET", "/api/v1/users/{user}/roles", READ_ROLES, list_user_roles),
    Route("POST", CLIENT_ROLES, "okta.roles.manage", add_role),
    Route("DELETE", CLIENT_ROLES + "/{role}", "okta.roles.manage", remove_role),
)
