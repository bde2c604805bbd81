"""What an access token says of its person: ``/userinfo``, where the whole of profile, e-mail and groups is told.

Source: OpenID Connect Core 1.0, 5.3; Okta OAuth API, "userinfo"; Okta developer docs, "Customize tokens … with a groups
claim": the org's own server tells groups here where the scope ``groups`` was granted and the app has the claim.
"""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import servers, tokens
from ostiary.sandbox.okta.call import Call
from ostiary.sandbox.okta.errors import OAuthError
from ostiary.sandbox.okta.objects import SIGN_IN_STATUSES, User
from ostiary.sandbox.okta.principals import live_token


def tell(call: Call) -> Response:
    """Of the person of a Bearer token that has the scope ``openid``."""
    server = servers.of(call)
    scheme, _, value = call.request.header("authorization").partition(" ")
    token = live_token(call, value, "custom" if server else "access") if scheme else None
    user = call.org.users.get(token.user_id or "") if token else None
    if token is None or user is None or user.status not in SIGN_IN_STATUSES:
        raise _refused("invalid_token", "The access token is invalid.", 401)
    if "openid" not in token.scopes:
        raise _refused("insufficient_scope", "The access token must provide access to openid.", 403)
    told: dict[str, Any] = {"sub": user.id, **_profile(user, token.scopes)}
    if server:
        claim = call.org.servers[server].groups
    else:
        app = call.org.apps[token.client_id]
        claim = app.groups_claim if "groups" in token.scopes else ""
    if claim:
        told["groups"] = tokens.groups_of(call, user, claim)
    return Response.of_json(told)


def _profile(user: User, scopes: tuple[str, ...]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if "profile" in scopes:
        told |= {
            "name": user.name,
            "given_name": user.profile["firstName"],
            "family_name": user.profile["lastName"],
            "preferred_username": user.login,
            "locale": "en_US",
            "zoneinfo": "America/Los_Angeles",
            "updated_at": int(user.updated),
        }
    if "email" in scopes:
        told |= {"email": user.profile["email"], "email_verified": True}
    return told


def _refused(error: str, text: str, status: int) -> OAuthError:
    challenge = f'Bearer error="{error}", error_description="{text}"'
    return OAuthError(error, text, status, (("www-authenticate", challenge),))


ROUTES = (
    *servers.routes("GET", "/v1/userinfo", tell),
    *servers.routes("POST", "/v1/userinfo", tell),
)
