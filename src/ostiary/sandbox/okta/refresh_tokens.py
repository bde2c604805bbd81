"""Refresh tokens: given with ``offline_access``, used again and again or rotated, dead when the person is.

Source: Okta developer docs, "Refresh access tokens": STATIC is the default of native apps, ROTATE gives a new one each
time, the one before stays good for the leeway, and its use after that ends the whole family. Unused for seven days it
expires. The words of ``invalid_grant`` are Okta's own (Okta support, "Okta Refresh Token Invalid or Expired").
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import apps, device, tokens
from ostiary.sandbox.okta.call import Call
from ostiary.sandbox.okta.errors import OAuthError
from ostiary.sandbox.okta.objects import SIGN_IN_STATUSES, App, Proven, RefreshToken

if TYPE_CHECKING:
    from ostiary.sandbox.okta.state import OktaOrg

GRANT = "refresh_token"
SCOPE = "offline_access"
IDLE = 7 * 86400


def answer(call: Call, app: App, scopes: tuple[str, ...], proven: Proven) -> Response:
    """The tokens of a sign-in, with a refresh token where scope and app permit one."""
    body = tokens.answer(call, app, scopes, proven)
    if SCOPE in scopes and GRANT in app.client.get("grant_types", ()):
        value = call.org.secret("", 43)
        token = RefreshToken(value, value, app.id, scopes, replace(proven, nonce=""), call.now)
        call.org.refresh_tokens[value] = token
        body["refresh_token"] = value
    return Response.of_json(body)


def use(call: Call, form: dict[str, str]) -> Response:
    """New tokens for the same sign-in: ``auth_time``, ``amr`` and ``acr`` stay what they were."""
    app = device.client(call, form.get("client_id", ""), GRANT)
    token = call.org.refresh_tokens.get(form.get("refresh_token", ""))
    server = call.params.get("server", "")
    if token is None or token.client_id != app.id or token.proven.server != server:
        raise _refused()
    if token.used + IDLE <= call.now:
        del call.org.refresh_tokens[token.value]
        raise _refused()
    user = call.org.users.get(token.proven.user_id)
    if user is None or user.status not in SIGN_IN_STATUSES or not apps.assigned(call, app, user):
        raise _refused()
    settings = app.client.get("refresh_token") or {}
    if token.replaced is not None and token.replaced + settings.get("leeway", 30) < call.now:
        _end_family(call, token)
        raise _refused()
    scopes = tuple(form["scope"].split()) if form.get("scope") else token.scopes
    if not set(scopes) <= set(token.scopes):
        raise OAuthError(
            "invalid_scope", "The requested scope exceeds what the refresh token was granted."
        )
    token.used = call.now
    body: dict[str, Any] = tokens.answer(call, app, scopes, token.proven)
    body["refresh_token"] = _following(call, token, settings.get("rotation_type", "STATIC"))
    return Response.of_json(body)


def revoke(call: Call) -> Response:
    """A client ends its own token; one that nobody knows is no error (RFC 7009)."""
    form = call.request.form
    app = call.org.apps.get(form.get("client_id", ""))
    if app is None or app.key != "oidc_client" or app.status != "ACTIVE":
        raise OAuthError("invalid_client", "Invalid value for 'client_id' parameter.", 401)
    value = form.get("token", "")
    known = call.org.refresh_tokens.get(value)
    if known is not None and known.client_id == app.id:
        _end_family(call, known)
    token = call.org.tokens.get(value)
    if token is not None and token.client_id == app.id:
        del call.org.tokens[value]
    return Response(200)


def end_all(org: OktaOrg, user_id: str) -> None:
    """Whoever is deactivated, or whose sessions an administrator ends with all tokens, has no refresh token."""
    for value in [v for v, held in org.refresh_tokens.items() if held.proven.user_id == user_id]:
        del org.refresh_tokens[value]


def _following(call: Call, token: RefreshToken, rotation: str) -> str:
    if rotation != "ROTATE":
        return token.value
    if token.replaced is None:
        token.replaced = call.now
    value = call.org.secret("", 43)
    call.org.refresh_tokens[value] = replace(token, value=value, replaced=None)
    return value


def _end_family(call: Call, token: RefreshToken) -> None:
    held = call.org.refresh_tokens
    for value in [v for v, one in held.items() if one.family == token.family]:
        del held[value]
    if token.replaced is not None:
        app = call.org.apps[token.client_id]
        who = call.org.users[token.proven.user_id]
        targets = ((app.id, "AppInstance", app.label),)
        call.org.record("app.oauth2.token.detect_reuse", (who.id, who.name), targets, "FAILURE")


def _refused() -> OAuthError:
    return OAuthError("invalid_grant", "The refresh token is invalid or expired.")
