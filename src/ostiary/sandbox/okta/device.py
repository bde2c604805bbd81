"""Device authorization (RFC 8628): the code for the machine, the page for the person, the machine's polling."""

from __future__ import annotations

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import apps, pages, sign_in, tokens
from ostiary.sandbox.okta.app_settings import DEVICE_CODE
from ostiary.sandbox.okta.call import PUBLIC, Call, Route
from ostiary.sandbox.okta.errors import OAuthError
from ostiary.sandbox.okta.ids import base62
from ostiary.sandbox.okta.objects import App, DeviceGrant

LIFE = 600
INTERVAL = 5  # seconds that a client is asked to wait between polls
PATIENCE = 1.0  # seconds between polls below which it says slow_down: gimme-aws-creds polls every 2
OPEN_SCOPES = frozenset({"openid", "profile", "email", "offline_access", "okta.apps.sso"})


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


def scopes_of(app: App, text: str) -> tuple[str, ...]:
    """The scopes asked for: those of OpenID Connect, and Okta's own where they are granted."""
    scopes = tuple(dict.fromkeys(text.split()))
    if not scopes or not set(scopes) <= OPEN_SCOPES | app.grants.keys():
        raise OAuthError(
            "invalid_scope", "One or more scopes are not configured for the authorization server."
        )
    return scopes


def authorize(call: Call) -> Response:
    form = call.request.form
    app = client(call, form.get("client_id", ""), DEVICE_CODE)
    scopes = scopes_of(app, form.get("scope", ""))
    code = base62(call.org.mint("", 60).encode(), 8).upper()
    grant = DeviceGrant(call.org.secret("", 36), code, app.id, scopes, call.now + LIFE)
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
    if grant is None or grant.client_id != app.id or grant.used:
        raise OAuthError("invalid_grant", "The device code is invalid.")
    if grant.expires <= call.now:
        raise OAuthError("expired_token", "The device code has expired.")
    early = grant.polled is not None and call.now < grant.polled + PATIENCE
    grant.polled = call.now
    if grant.denied:
        raise OAuthError("access_denied", "The resource owner or authorization server denied it.")
    if grant.user_id is None:
        if early:
            raise OAuthError("slow_down", "The client polls too often.")
        raise OAuthError("authorization_pending", "The device authorization is pending.")
    grant.used = True
    user = call.org.users[grant.user_id]
    access = tokens.issue_access(call, app, grant.scopes, user=user, mfa=grant.mfa)
    body = {
        "token_type": "Bearer",
        "expires_in": tokens.ACCESS_LIFE,
        "access_token": access.value,
        "scope": " ".join(grant.scopes),
    }
    if "openid" in grant.scopes:
        body["id_token"] = tokens.issue_id(call, app, user, access.value, mfa=grant.mfa).value
    return Response.of_json(body)


def _waiting(call: Call, code: str) -> DeviceGrant | None:
    wanted = code.strip().upper().replace("-", "")
    return next(
        (
            grant
            for grant in call.org.device_grants.values()
            if grant.user_code == wanted
            and grant.expires > call.now
            and grant.user_id is None
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
    grant.user_id, grant.mfa = entered.user.id, entered.session.mfa
    text = "Your device is activated. You can close this window and return to it."
    return pages.render(call, "message.html", title="Device activated", text=text)


ROUTES = (
    Route("POST", "/oauth2/v1/device/authorize", PUBLIC, authorize),
    Route("GET", "/activate", PUBLIC, show),
    Route("POST", "/activate", PUBLIC, decide),
)
