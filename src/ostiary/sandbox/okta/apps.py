"""Applications: ``/api/v1/apps``. Source: Okta API, "Applications"; settings of ``amazon_aws`` as recorded."""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import app_clients, app_settings
from ostiary.sandbox.okta.call import Call, Route, done
from ostiary.sandbox.okta.errors import OktaError, forbidden, invalid, missing
from ostiary.sandbox.okta.filters import compile_filter
from ostiary.sandbox.okta.ids import stamp
from ostiary.sandbox.okta.objects import App, User
from ostiary.sandbox.okta.paging import page

CATALOG = ("amazon_aws", "amazon_aws_sso")
MODES = {"amazon_aws": ("SAML_2_0", "BROWSER_PLUGIN"), "amazon_aws_sso": ("SAML_2_0",)}
MAX_LABEL = 100
FILTERED = ("id", "status", "credentials.signing.kid", "name", "settings.slo.enabled")
READ_ONLY = frozenset(
    {"id", "orn", "created", "lastUpdated", "status", "features", "_links", "_embedded"}
)
DEFAULT_FIELDS: dict[str, Any] = {
    "accessibility": {"selfService": False, "errorRedirectUrl": None, "loginRedirectUrl": None},
    "visibility": {
        "autoLaunch": False,
        "autoSubmitToolbar": False,
        "hide": {"iOS": False, "web": False},
        "appLinks": {"login": True},
    },
}
DEFAULT_SETTINGS: dict[str, Any] = {
    "notifications": {
        "vpn": {"network": {"connection": "DISABLED"}, "message": None, "helpUrl": None}
    },
    "manualProvisioning": False,
    "implicitAssignment": False,
    "notes": {"admin": None, "enduser": None},
}
SIGN_ON: dict[str, Any] = {
    "defaultRelayState": None,
    "ssoAcsUrlOverride": None,
    "audienceOverride": None,
    "recipientOverride": None,
    "destinationOverride": None,
    "attributeStatements": [],
}


def tile(app: App) -> str:
    """The path of an app's link on the dashboard."""
    return f"/home/{app.key}/{app.id}/272"


def show(call: Call, app: App) -> dict[str, Any]:
    path = f"/api/v1/apps/{app.id}"
    links: dict[str, Any] = {
        "uploadLogo": call.link(f"{path}/logo", "POST"),
        "appLinks": [{"name": "login", "href": call.href(tile(app)), "type": "text/html"}],
        "groups": call.link(f"{path}/groups"),
        "users": call.link(f"{path}/users"),
        "accessPolicy": call.link(f"/api/v1/policies/{app.policy_id}"),
    }
    verb = "deactivate" if app.status == "ACTIVE" else "activate"
    links[verb] = call.link(f"{path}/lifecycle/{verb}")
    if app.mode == "SAML_2_0":
        links["metadata"] = {
            "href": call.href(f"{path}/sso/saml/metadata"),
            "type": "application/xml",
        }
    credentials = {
        "userNameTemplate": {"template": "${source.login}", "type": "BUILT_IN"},
        "revealPassword": False,
        **app.credentials,
    }
    settings = {**DEFAULT_SETTINGS, **app.settings}
    if app.mode == "SAML_2_0":
        settings["signOn"] = {**SIGN_ON, **(app.settings.get("signOn") or {})}
    return {
        "id": app.id,
        "orn": f"orn:okta:idp:{call.org.id}:apps:{app.key}:{app.id}",
        "name": app.key,
        "label": app.label,
        "status": app.status,
        "lastUpdated": stamp(app.updated),
        "created": stamp(app.created),
        **DEFAULT_FIELDS,
        **app.fields,
        "features": app.features,
        "signOnMode": app.mode,
        "credentials": credentials,
        "settings": settings,
        "_links": links,
    }


def assigned(call: Call, app: App, user: User) -> bool:
    """Whether a person has the app: by name or through a group."""
    org = call.org
    return user.id in app.users or any(
        known in org.groups and org.holds(org.groups[known], user.id) for known in app.groups
    )


def list_apps(call: Call) -> Response:
    """A person's own token (okta-aws-cli) sees the apps that the person is assigned to."""
    query = call.request.query
    found = list(call.org.apps.values())
    who = call.principal
    if who.user is not None and not who.roles:
        person = who.user
        found = [app for app in found if assigned(call, app, person)]
    if query.get("q"):
        wanted = query["q"].lower()
        found = [
            app
            for app in found
            if app.key.lower().startswith(wanted) or app.label.lower().startswith(wanted)
        ]
    if query.get("filter"):
        test = compile_filter(query["filter"], FILTERED, ("eq",))
        found = [app for app in found if test(_values(app))]
    return page(
        call,
        found,
        lambda app: show(call, app),
        identity=lambda app: app.id,
        default=20,
        maximum=200,
    )


def _values(app: App) -> dict[str, Any]:
    return {
        "id": app.id,
        "status": app.status,
        "name": app.key,
        "credentials.signing.kid": app.credentials.get("signing", {}).get("kid"),
        "settings.slo.enabled": False,
    }


def create(call: Call) -> Response:
    """``oidc_client`` and the AWS apps of the catalog; any other name is not in this sandbox's catalog."""
    body = call.body
    key = body.get("name")
    if key == "oidc_client":
        app = app_clients.create(call, body)
    elif key in CATALOG:
        mode = body.get("signOnMode", "BROWSER_PLUGIN" if key == "amazon_aws" else "SAML_2_0")
        if mode not in MODES[key]:
            raise invalid("signOnMode", f"signOnMode: {mode} is not supported by {key}.")
        app = call.org.add_app(key, _label(body), mode=mode, options=_options(key, body))
    else:
        raise invalid("name", f"name: The application {key} is not in the catalog.")
    _carry(app, body)
    if not call.flag("activate", default=True):
        app.status = "INACTIVE"
    call.record("application.lifecycle.create", _target(app))
    return Response.of_json(show(call, app))


def get(call: Call) -> Response:
    app = find(call)
    who = call.principal
    if who.user is not None and not who.roles and not assigned(call, app, who.user):
        raise forbidden()
    return Response.of_json(show(call, app))


def replace(call: Call) -> Response:
    """A full replacement: what the body leaves out goes back to its default."""
    app, body = find(call), call.body
    if body.get("name", app.key) != app.key or body.get("signOnMode", app.mode) != app.mode:
        raise invalid("name", "name: The name and the signOnMode of an app cannot be changed.")
    label, options = _label(body), _options(app.key, body)
    kid = ((body.get("credentials") or {}).get("signing") or {}).get("kid")
    if kid is not None and kid not in app.keys:
        raise invalid("credentials.signing.kid", "kid: The key does not belong to this app.")
    kept = app_clients.replaced(app, body) if app.key == "oidc_client" else {}
    app.label, app.settings = label, {"app": options, **kept}
    if kid:
        app.credentials["signing"] = {"kid": kid}
    _carry(app, body)
    app.updated = call.now
    call.record("application.lifecycle.update", _target(app))
    return Response.of_json(show(call, app))


def lifecycle(call: Call) -> Response:
    app, verb = find(call), call.params["verb"]
    if verb not in ("activate", "deactivate"):
        raise missing("AppInstance", f"{app.id}/lifecycle/{verb}")
    app.status = "ACTIVE" if verb == "activate" else "INACTIVE"
    app.updated = call.now
    call.record(f"application.lifecycle.{verb}", _target(app))
    return Response.of_json({})


def delete(call: Call) -> Response:
    app = find(call)
    if app.status != "INACTIVE":
        cause = "The application must be deactivated before it is deleted."
        raise OktaError("E0000056", "Delete application forbidden.", 403, (cause,))
    del call.org.apps[app.id]
    call.record("application.lifecycle.delete", _target(app))
    return done()


def assign_policy(call: Call) -> Response:
    app = find(call)
    policy = call.org.policies.get(call.params["policy"])
    if policy is None:
        raise missing("Policy", call.params["policy"])
    app.policy_id = policy.id
    call.record("policy.lifecycle.update", (policy.id, "PolicyEntity", policy.name), _target(app))
    return done()


def find(call: Call) -> App:
    app = call.org.apps.get(call.params["app"])
    if app is None:
        raise missing("AppInstance", call.params["app"])
    return app


def _target(app: App) -> tuple[str, str, str]:
    return app.id, "AppInstance", app.label


def _label(body: dict[str, Any]) -> str:
    label = body.get("label")
    if not isinstance(label, str) or not label.strip():
        raise invalid("label", "label: The field cannot be left blank")
    if len(label) > MAX_LABEL:
        raise invalid("label", f"label: The field is too long, the maximum is {MAX_LABEL}.")
    return label


def _options(key: str, body: dict[str, Any]) -> dict[str, Any]:
    options = (body.get("settings") or {}).get("app") or {}
    if not isinstance(options, dict):
        raise invalid("settings.app", "settings.app: The field must be an object")
    found = app_settings.problems(key, options)
    if found:
        raise invalid(found[0].partition(":")[0], *found)
    return app_settings.complete(key, options)


def _carry(app: App, body: dict[str, Any]) -> None:
    """Keep what the body says besides the app's own settings: notes, sign-on overrides, visibility."""
    settings = body.get("settings") or {}
    app.settings.update(
        {name: value for name, value in settings.items() if name not in ("app", "oauthClient")}
    )
    notes = settings.get("notes")
    if notes is not None:
        app.settings["notes"] = {**DEFAULT_SETTINGS["notes"], **notes}
    handled = READ_ONLY | {"name", "label", "signOnMode", "settings", "credentials"}
    app.fields = {name: value for name, value in body.items() if name not in handled}


READ, MANAGE = "okta.apps.read", "okta.apps.manage"
ROUTES = (
    Route("GET", "/api/v1/apps", READ, list_apps),
    Route("POST", "/api/v1/apps", MANAGE, create),
    Route("GET", "/api/v1/apps/{app}", READ, get),
    Route("PUT", "/api/v1/apps/{app}", MANAGE, replace),
    Route("DELETE", "/api/v1/apps/{app}", MANAGE, delete),
    Route("POST", "/api/v1/apps/{app}/lifecycle/{verb}", MANAGE, lifecycle),
    Route("PUT", "/api/v1/apps/{app}/policies/{policy}", MANAGE, assign_policy),
)
