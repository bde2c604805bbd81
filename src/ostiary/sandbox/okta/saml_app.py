"""Opening an ``amazon_aws`` app: who may, with which roles, and the form that carries the assertion to AWS."""

from __future__ import annotations

import base64
from urllib.parse import urlsplit

from ostiary.saml import assertion
from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import app_keys, app_settings, apps, pages, sessions, sign_in
from ostiary.sandbox.okta.call import PUBLIC, Call, Route
from ostiary.sandbox.okta.objects import SIGN_IN_STATUSES, App, User
from ostiary.sandbox.okta.principals import live_token, session_of
from ostiary.sandbox.okta.role_mapping import (
    Assigned,
    MappedGroup,
    assigned_roles,
    mapped_roles,
    role_values,
)

TAG = "https://aws.amazon.com/SAML/Attributes/PrincipalTag:"
DIRECTORY = "okta"


def open_tile(call: Call) -> Response:
    app = call.org.apps.get(call.params["app"])
    if app is None or app.key != call.params["key"]:
        return _message(call, 404, "Page not found", "There is no such application.")
    return _open(call, app)


def open_sso(call: Call) -> Response:
    app = next(
        (app for app in call.org.apps.values() if app.external == call.params["external"]), None
    )
    if app is None or app.key != call.params["key"]:
        return _message(call, 404, "Page not found", "There is no such application.")
    return _open(call, app)


def _open(call: Call, app: App) -> Response:
    """With ``sessionToken`` (or ``onetimetoken``) in the address the link signs in by itself first."""
    query = call.request.query
    token = query.get("sessionToken") or query.get("onetimetoken")
    if token and session_of(call) is None:
        return sessions.enter_by_token(call, token, call.href(call.request.path))
    entered = sign_in.enter(call, mfa=False)
    if isinstance(entered, Response):
        return entered
    refused = _refusal(call, app, entered.user)
    if refused is not None:
        return refused
    entered = sign_in.enter(call, mfa=call.org.policies[app.policy_id].mfa)
    if isinstance(entered, Response):
        return entered
    return form(call, app, entered.user, call.request.query.get("RelayState", ""))


def open_by_token(call: Call) -> Response:
    """``/login/token/sso?token=``: a web SSO token instead of a session."""
    token = live_token(call, call.request.query.get("token", ""), "web_sso")
    app = call.org.apps.get(token.app_id or "") if token else None
    user = call.org.users.get(token.user_id or "") if token else None
    if token is None or app is None or user is None or user.status not in SIGN_IN_STATUSES:
        return _message(call, 400, "Bad request", "The token is invalid or has expired.")
    return _refusal(call, app, user) or form(call, app, user, "")


def _refusal(call: Call, app: App, user: User) -> Response | None:
    if app.status != "ACTIVE":
        return _message(call, 403, "Access denied", "The application is not active.", user)
    if not apps.assigned(call, app, user):
        call.org.record(
            "user.authentication.sso",
            (user.id, user.name),
            [(app.id, "AppInstance", app.label)],
            result="FAILURE",
            reason="user_not_assigned",
        )
        text = "You do not have access to this application: it is not assigned to you."
        return _message(call, 403, "Access denied", text, user)
    if app.mode != "SAML_2_0" or app.key != "amazon_aws":
        text = "This application does not sign on with SAML 2.0 here."
        return _message(call, 400, "Not available", text, user)
    return None


def form(call: Call, app: App, user: User, relay: str) -> Response:
    """The page whose only form posts the response: clients take the first form that they find.

    The form's action is the sandbox's; every URL inside the response is AWS's.
    """
    acs = destination(app)
    document = respond(call, app, user)
    call.org.record(
        "user.authentication.sso", (user.id, user.name), [(app.id, "AppInstance", app.label)]
    )
    sign_on = app.settings.get("signOn") or {}
    parts = urlsplit(acs)
    action = f"{call.org.aws_origin}/{parts.netloc}{parts.path}" if call.org.aws_origin else acs
    return pages.render(
        call,
        "saml.html",
        label=app.label,
        action=action,
        response=base64.b64encode(document).decode(),
        relay=relay or sign_on.get("defaultRelayState") or "",
    )


def destination(app: App) -> str:
    """The ACS URL: what the app overrides, or the sign-in URL of its partition."""
    sign_on = app.settings.get("signOn") or {}
    partition = app_settings.partition_of(app.options)
    override = sign_on.get("ssoAcsUrlOverride") or app.options["overrideAcsURL"]
    return override or partition.sign_in_url


def respond(call: Call, app: App, user: User) -> bytes:
    """The signed response (XML) for a person who has the app."""
    sign_on = app.settings.get("signOn") or {}
    partition = app_settings.partition_of(app.options)
    acs = destination(app)
    own = app.users.get(user.id)
    name = own.user_name if own else user.login
    key = app_keys.active_key(app)
    return assertion.issue(
        issuer=app_keys.issuer(app),
        destination=sign_on.get("destinationOverride") or acs,
        recipient=sign_on.get("recipientOverride") or acs,
        audience=sign_on.get("audienceOverride") or partition.audience,
        name_id=name,
        role_values=roles(call, app, user),
        session_name=name,
        session_duration=app.options["sessionDuration"],
        key=key.private,
        certificate=key.certificate,
        now=call.world.clock.datetime(),
        principal_tags=_tags(app, user),
    )


def roles(call: Call, app: App, user: User) -> list[str]:
    """``provider-arn,role-arn`` values, by group mapping or by what was assigned in the API mode."""
    org, options = call.org, app.options
    if options["useGroupMapping"]:
        groups = [
            MappedGroup(
                group.name,
                org.apps[group.source_app].key if group.source_app else DIRECTORY,
            )
            for group in org.groups_of(user.id)
        ]
        return mapped_roles(options, groups)
    own = app.users.get(user.id)
    assignments = [Assigned(own.profile, direct=True)] if own else []
    assignments += [
        Assigned(held.profile, priority=held.priority)
        for known, held in app.groups.items()
        if org.holds(org.groups[known], user.id)
    ]
    names = assigned_roles(assignments, join_all=options["joinAllRoles"], union=app.role_union)
    return role_values(names, options, partition=app_settings.partition_of(options).name)


def _tags(app: App, user: User) -> dict[str, str]:
    """Session tags: attribute statements named PrincipalTag, whose value is ``user.<attribute>`` or a quoted text."""
    found: dict[str, str] = {}
    for statement in (app.settings.get("signOn") or {}).get("attributeStatements") or []:
        name, values = str(statement.get("name", "")), statement.get("values") or []
        if not name.startswith(TAG) or not values:
            continue
        text = str(values[0])
        value = (
            user.profile.get(text.removeprefix("user."))
            if text.startswith("user.")
            else text.strip('"')
        )
        if value:
            found[name.removeprefix(TAG)] = str(value)
    return found


def _message(call: Call, status: int, title: str, text: str, user: User | None = None) -> Response:
    return pages.render(call, "message.html", status, title=title, text=text, user=user)


ROUTES = (
    Route("GET", "/home/{key}/{app}/{number}", PUBLIC, open_tile),
    Route("GET", "/app/{key}/{external}/sso/saml", PUBLIC, open_sso),
    Route("GET", "/login/token/sso", PUBLIC, open_by_token),
)
