"""Device authorization (RFC 8628): the code for the machine, the page for the person, the machine's polling.

It takes neither ``acr_values`` nor ``max_age``: Okta documents them for ``/authorize`` alone, and what is unknown is ignored.
"""

from __future__ import annotations

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import apps, pages, refresh_tokens, servers, sign_in
from ostiary.sandbox.okta.app_settings import DEVICE_CODE
from ostiary.sandbox.okta.call import PUBLIC, Call, Route
from ostiary.sandbox.okta.errors import OAuthError
from ostiary.sandbox.okta.ids import base62
from ostiary.sandbox.okta.objects import SIGN_IN_STATUSES, App, DeviceGrant, Proven

LIFE = 600
INTERVAL = 5  # seconds that a client is asked to wait between polls
PATIENCE = 1.0  # seconds between polls below which it says slow_down: gimme-aws-creds polls every 2
CUSTOM_SCOPES = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})
OPEN_SCOPES = CUSTOM_SCOPES | {"groups", "okta.apps.sso"}


def client(call: Call, client_id: str, grant: str) -> App:
    """A native app that may use the grant."""
    app = call.org.apps.get(client_id)
    if app is None or app.key != "oidc_client" or app.status != "ACTIVE":
        raise OAuthError("invalid_client", "Invalid value for 'client_id' parameter.", 401)
    if grant not in app.client.get("grant_types", ()):
        raise OAuthError(
            "unauthorized_client", "The client is not authorized to use the provided grant type."
        )
    return app


def scopes_of(call: Call, app: App, text: str) -> tuple[str, ...]:
    """The scopes asked for: those of OpenID Connect and, of the org's own server, Okta's where they are granted."""
    scopes = tuple(dict.fromkeys(text.split()))
    known = CUSTOM_SCOPES if servers.of(call) else OPEN_SCOPES | app.grants.keys()
    if not scopes or not set(scopes) <= known:
        raise OAuthError(
            "invalid_scope", "One or more scopes are not configured for the authorization server."
        )
    return scopes


def authorize(call: Call) -> Response:
    form = call.request.form
    app = client(call, form.get("client_id", ""), DEVICE_CODE)
    scopes = scopes_of(call, app, form.get("scope", ""))
    code = base62(call.org.mint("", 60).encode(), 8).upper()
    grant = DeviceGrant(
        call.org.secret("", 36), code, app.id, scopes, call.now + LIFE, servers.of(call)
    )
    call.org.device_grants[grant.device_code] = grant
    body = {
        "device_code": grant.device_code,
        "user_code": code,
        "verification_uri": call.href("/activate"),
        "verification_uri_complete": call.href(f"/activate?user_code={code}"),
        "expires_in": LIFE,
        "interval": INTERVAL,
    }
    return Response.of_json(body)


def poll(call: Call, form: dict[str, str]) -> Response:
    app = client(call, form.get("client_id", ""), DEVICE_CODE)
    grant = call.org.device_grants.get(form.get("device_code", ""))
    ours = grant is not None and grant.client_id == app.id and grant.server == servers.of(call)
    if grant is None or not ours or grant.used:
        raise OAuthError("invalid_grant", "The device code is invalid.")
    if grant.expires <= call.now:
        raise OAuthError("expired_token", "The device code has expired.")
    early = grant.polled is not None and call.now < grant.polled + PATIENCE
    grant.polled = call.now
    if grant.denied:
        raise OAuthError("access_denied", "The resource owner or authorization server denied it.")
    if grant.proven is None:
        if early:
            raise OAuthError("slow_down", "The client polls too often.")
        raise OAuthError("authorization_pending", "The device authorization is pending.")
    grant.used = True
    user = call.org.users.get(grant.proven.user_id)
    if user is None or user.status not in SIGN_IN_STATUSES:
        raise OAuthError("invalid_grant", "The device code is invalid.")
    return refresh_tokens.answer(call, app, grant.scopes, grant.proven)


def _waiting(call: Call, code: str) -> DeviceGrant | None:
    wanted = code.strip().upper().replace("-", "")
    return next(
        (
            grant
            for grant in call.org.device_grants.values()
            if grant.user_code == wanted
            and grant.expires > call.now
            and grant.proven is None
            and not grant.denied
        ),
        None,
    )


def show(call: Call) -> Response:
    """The page that asks for the code or, with one, whether to let the device in."""
    code = call.request.query.get("user_code", "")
    entered = sign_in.enter(call, mfa=False)
    if isinstance(entered, Response):
        return entered
    if not code:
        return pages.render(call, "activate.html", user=entered.user)
    return _ask(call, code)


def _ask(call: Call, code: str) -> Response:
    grant = _waiting(call, code)
    if grant is None:
        return pages.render(
            call, "activate.html", 400, problem="Invalid or expired code. Try again."
        )
    app = call.org.apps[grant.client_id]
    mfa = call.org.policies[app.policy_id].mfa
    entered = sign_in.enter(call, mfa=mfa)
    if isinstance(entered, Response):
        return entered
    if not apps.assigned(call, app, entered.user):
        problem = "You are not assigned to this application, so the device cannot be activated."
        return pages.render(call, "message.html", 403, title="Device not activated", text=problem)
    return pages.render(call, "allow.html", app=app, code=grant.user_code, user=entered.user)


def decide(call: Call) -> Response:
    """What the person chose on the page. Asking for the code first leads to the question."""
    form = call.request.form
    entered = sign_in.enter(call, mfa=False)
    if isinstance(entered, Response):
        return entered
    grant = _waiting(call, form.get("user_code", ""))
    if grant is None or "decision" not in form:
        return _ask(call, form.get("user_code", ""))
    app = call.org.apps[grant.client_id]
    if form["decision"] != "allow":
        grant.denied = True
        text = "The device was not allowed in. You can close this window."
        return pages.render(call, "message.html", title="Device refused", text=text)
    strong = not call.org.policies[app.policy_id].mfa or entered.session.mfa
    if not strong or not apps.assigned(call, app, entered.user):
        return _ask(call, grant.user_code)
    session = entered.session
    grant.proven = Proven(entered.user.id, session.mfa, session.proven, server=grant.server)
    text = "Your device is activated. You can close this window and return to it."
    return pages.render(call, "message.html", title="Device activated", text=text)


ROUTES = (
    *servers.routes("POST", "/v1/device/authorize", authorize),
    Route("GET", "/activate", PUBLIC, show),
    Route("POST", "/activate", PUBLIC, decide),
)
