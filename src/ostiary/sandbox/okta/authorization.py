"""The browser's way to a code (authorization code with PKCE), for clients of the Identity Engine."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import urlencode

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import apps, assurance, device, pages, refresh_tokens, servers
from ostiary.sandbox.okta.call import PUBLIC, Call, Route
from ostiary.sandbox.okta.errors import OAuthError, invalid
from ostiary.sandbox.okta.objects import SIGN_IN_STATUSES, App, AuthorizationCode, Proven
from ostiary.sandbox.okta.principals import session_of

LIFE = 60
CALLBACK = "/enduser/callback"


def authorize(call: Call) -> Response:
    """Redirects back with a code for whoever is signed in; ``prompt=none`` never shows a page."""
    query = call.request.query
    app = _client(call, query.get("client_id", ""))
    dashboard = app is call.org.dashboard
    allowed = (call.href(CALLBACK),) if dashboard else app.client.get("redirect_uris", ())
    goal = query.get("redirect_uri", "")
    if goal not in allowed:
        raise invalid("redirect_uri", "The 'redirect_uri' parameter must be a Login redirect URI.")
    state = query.get("state", "")
    if query.get("code_challenge_method") != "S256" or not query.get("code_challenge"):
        return _back(goal, state, error="invalid_request", error_description="PKCE is required.")
    wanted, session = assurance.asked(call), session_of(call)
    if query.get("prompt") == "none" and (session is None or not wanted.is_met_by(session)):
        text = "The client specified not to prompt, but the user is not logged in."
        return _back(goal, state, error="login_required", error_description=text)
    entered = assurance.enter(call, app, wanted)
    if isinstance(entered, Response):
        return entered
    if wanted.is_out_of_reach(entered.user):
        text = "The user cannot reach the authentication that acr_values asks for."
        error = "unmet_authentication_requirements"
        return _back(goal, state, error=error, error_description=text)
    if not dashboard and not apps.assigned(call, app, entered.user):
        text = "User is not assigned to the client application."
        return _back(goal, state, error="access_denied", error_description=text)
    code = AuthorizationCode(
        call.org.secret("", 43),
        app.id,
        device.scopes_of(call, app, query.get("scope", "")),
        goal,
        query["code_challenge"],
        call.now + LIFE,
        Proven(
            entered.user.id,
            entered.session.mfa,
            entered.session.proven,
            wanted.acr,
            query.get("nonce", ""),
            servers.of(call),
        ),
    )
    call.org.codes[code.value] = code
    return _back(goal, state, code=code.value)


def _client(call: Call, client_id: str) -> App:
    if client_id == call.org.dashboard.id:
        return call.org.dashboard
    return device.client(call, client_id, "authorization_code")


def callback(call: Call) -> Response:
    """Where the dashboard's own client ends; tokendito reads the code from the address."""
    query = call.request.query
    text = query.get("error_description", "You are signed in.")
    return pages.render(call, "message.html", title="Dashboard", text=text)


def _back(goal: str, state: str, **values: str) -> Response:
    query = urlencode({**values, **({"state": state} if state else {})})
    return Response(302, headers=(("location", f"{goal}?{query}"),))


def redeem(call: Call, form: dict[str, str]) -> Response:
    app = _client(call, form.get("client_id", ""))
    code = call.org.codes.pop(form.get("code", ""), None)
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    if (
        code is None
        or code.client_id != app.id
        or code.proven.server != servers.of(call)
        or code.expires <= call.now
        or code.redirect_uri != form.get("redirect_uri")
        or not hmac.compare_digest(code.challenge.encode(), challenge.encode())
    ):
        raise OAuthError("invalid_grant", "The authorization code is invalid or has expired.")
    user = call.org.users.get(code.proven.user_id)
    if user is None or user.status not in SIGN_IN_STATUSES:
        raise OAuthError("invalid_grant", "The authorization code is invalid or has expired.")
    return refresh_tokens.answer(call, app, code.scopes, code.proven)


ROUTES = (
    *servers.routes("GET", "/v1/authorize", authorize),
    Route("GET", CALLBACK, PUBLIC, callback),
)
