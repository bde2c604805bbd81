"""Tokens that the org signs: access tokens, ID tokens and web SSO tokens, with the keys to check them."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from joserfc import jwt

from ostiary.sandbox.okta.call import Call
from ostiary.sandbox.okta.objects import App, Token, User

ACCESS_LIFE = 3600
WEB_SSO_LIFE = 300


def issue_access(
    call: Call,
    app: App,
    scopes: tuple[str, ...],
    *,
    user: User | None = None,
    mfa: bool = False,
    thumbprint: str | None = None,
) -> Token:
    claims: dict[str, Any] = {
        "aud": call.origin,
        "sub": user.login if user else app.id,
        "cid": app.id,
        "scp": list(scopes),
    }
    if user:
        claims["uid"] = user.id
    if thumbprint:
        claims["cnf"] = {"jkt": thumbprint}
    value = _sign(call, claims, ACCESS_LIFE)
    token = Token(value, "access", app.id, scopes, call.now + ACCESS_LIFE, mfa=mfa)
    token.user_id = user.id if user else None
    token.thumbprint = thumbprint
    return _keep(call, token)


def issue_id(call: Call, app: App, user: User, access: str, *, mfa: bool) -> Token:
    digest = hashlib.sha256(access.encode()).digest()[:16]
    claims = {
        "sub": user.id,
        "aud": app.id,
        "name": user.name,
        "email": user.profile["email"],
        "preferred_username": user.login,
        "amr": ["pwd", "otp", "mfa"] if mfa else ["pwd"],
        "idp": call.org.id,
        "auth_time": int(call.now),
        "at_hash": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
    }
    value = _sign(call, claims, ACCESS_LIFE)
    expires = call.now + ACCESS_LIFE
    return _keep(call, Token(value, "id", app.id, (), expires, user_id=user.id, mfa=mfa))


def issue_web_sso(call: Call, client: App, target: App, user: User, *, mfa: bool) -> Token:
    claims = {"sub": user.id, "aud": f"urn:okta:apps:{target.id}", "cid": client.id}
    value = _sign(call, claims, WEB_SSO_LIFE)
    token = Token(value, "web_sso", client.id, (), call.now + WEB_SSO_LIFE, mfa=mfa)
    token.user_id, token.app_id = user.id, target.id
    return _keep(call, token)


def _sign(call: Call, claims: dict[str, Any], life: int) -> str:
    now = int(call.now)
    common = {"ver": 1, "iss": call.origin, "iat": now, "exp": now + life}
    key = call.org.token_key
    header = {"alg": "RS256", "kid": key.kid}
    return jwt.encode(header, {**common, "jti": call.org.mint("AT.", 40), **claims}, key.jwk)


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
