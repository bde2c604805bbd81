"""Tokens that the org signs: access tokens, ID tokens and web SSO tokens, with the keys to check them.

An ID token that comes together with an access token is thin: of the profile it tells ``name`` and
``preferred_username`` (scope profile) and ``email`` (scope email), and of groups nothing, whatever the app's groups claim
filter is; a custom authorization server adds the claims that are configured for every ID token. Source: Okta support,
"Okta Groups or Attribute Missing from Id Token"; Okta developer docs, "Customize tokens … with a groups claim".
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import re2
from joserfc import jwt

from ostiary.sandbox.okta.call import Call
from ostiary.sandbox.okta.objects import App, Proven, Token, User

ACCESS_LIFE = 3600
WEB_SSO_LIFE = 300


def answer(call: Call, app: App, scopes: tuple[str, ...], proven: Proven) -> dict[str, Any]:
    """What the token endpoint answers for a person, without a refresh token."""
    user = call.org.users[proven.user_id]
    access = issue_access(call, app, scopes, user=user, proven=proven)
    body = {
        "token_type": "Bearer",
        "expires_in": ACCESS_LIFE,
        "access_token": access.value,
        "scope": " ".join(scopes),
    }
    if "openid" in scopes:
        body["id_token"] = _issue_id(call, app, scopes, access.value, proven).value
    return body


def issue_access(
    call: Call,
    app: App,
    scopes: tuple[str, ...],
    *,
    user: User | None = None,
    proven: Proven | None = None,
    thumbprint: str | None = None,
) -> Token:
    """A token for Okta's API or, by a custom authorization server, for its audience and no use at the API."""
    server = call.org.servers.get(proven.server) if proven else None
    claims: dict[str, Any] = {
        "iss": issuer(call, proven.server if proven else ""),
        "aud": server.audience if server else call.origin,
        "sub": user.login if user else app.id,
        "cid": app.id,
        "scp": list(scopes),
    }
    if user and proven:
        claims |= {"uid": user.id, "auth_time": int(proven.at)}
        claims |= {"acr": proven.acr} if proven.acr else {}
    if thumbprint:
        claims["cnf"] = {"jkt": thumbprint}
    value = _sign(call, claims, ACCESS_LIFE, "AT.")
    kind = "custom" if server else "access"
    token = Token(value, kind, app.id, scopes, call.now + ACCESS_LIFE)
    token.mfa = bool(proven and proven.mfa)
    token.user_id = user.id if user else None
    token.thumbprint = thumbprint
    return _keep(call, token)


def _issue_id(call: Call, app: App, scopes: tuple[str, ...], access: str, proven: Proven) -> Token:
    user = call.org.users[proven.user_id]
    digest = hashlib.sha256(access.encode()).digest()[:16]
    claims: dict[str, Any] = {
        "iss": issuer(call, proven.server),
        "sub": user.id,
        "aud": app.id,
        "amr": ["pwd", "otp", "mfa"] if proven.mfa else ["pwd"],
        "idp": call.org.id,
        "auth_time": int(proven.at),
        "at_hash": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
    }
    if "profile" in scopes:
        claims |= {"name": user.name, "preferred_username": user.login}
    if "email" in scopes:
        claims["email"] = user.profile["email"]
    for name in ("acr", "nonce"):
        claims |= {name: value} if (value := getattr(proven, name)) else {}
    server = call.org.servers.get(proven.server)
    if server and server.groups:
        claims["groups"] = groups_of(call, user, server.groups)
    value = _sign(call, claims, ACCESS_LIFE, "ID.")
    expires = call.now + ACCESS_LIFE
    return _keep(call, Token(value, "id", app.id, (), expires, user_id=user.id, mfa=proven.mfa))


def groups_of(call: Call, user: User, wanted: str) -> list[str]:
    """The names of a person's groups that a claim's regex lets through."""
    pattern = re2.compile(wanted)
    held = (group.name for group in call.org.groups_of(user.id))
    return [name for name in held if pattern.fullmatch(name)]


def issue_web_sso(call: Call, client: App, target: App, user: User, *, mfa: bool) -> Token:
    claims = {
        "iss": call.origin,
        "sub": user.id,
        "aud": f"urn:okta:apps:{target.id}",
        "cid": client.id,
    }
    value = _sign(call, claims, WEB_SSO_LIFE, "AT.")
    token = Token(value, "web_sso", client.id, (), call.now + WEB_SSO_LIFE, mfa=mfa)
    token.user_id, token.app_id = user.id, target.id
    return _keep(call, token)


def issuer(call: Call, server: str) -> str:
    """The issuer of an authorization server, the org's own for ""."""
    return call.href(f"/oauth2/{server}") if server else call.origin


def _sign(call: Call, claims: dict[str, Any], life: int, prefix: str) -> str:
    now = int(call.now)
    common = {"ver": 1, "iat": now, "exp": now + life, "jti": call.org.mint(prefix, 40)}
    key = call.org.token_key
    header = {"alg": "RS256", "kid": key.kid}
    return jwt.encode(header, {**common, **claims}, key.jwk)


def _keep(call: Call, token: Token) -> Token:
    """Remember a token, and forget those that have expired."""
    expired = [known for known, held in call.org.tokens.items() if held.expires <= call.now]
    for known in expired:
        del call.org.tokens[known]
    call.org.tokens[token.value] = token
    return token


def public_keys(call: Call) -> dict[str, Any]:
    key = call.org.token_key
    shown = {"kty": "RSA", "alg": "RS256", "kid": key.kid, "use": "sig", **key.public_numbers()}
    return {"keys": [shown]}
