"""The org's token endpoint, and client authentication by signed assertion. Source: Okta "OpenID Connect & OAuth 2.0 API"."""

from __future__ import annotations

import json
from typing import Any

from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import (
    authorization,
    device,
    dpop,
    exchange,
    refresh_tokens,
    servers,
    tokens,
)
from ostiary.sandbox.okta.app_settings import DEVICE_CODE, TOKEN_EXCHANGE
from ostiary.sandbox.okta.call import Call
from ostiary.sandbox.okta.errors import OAuthError
from ostiary.sandbox.okta.objects import App

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_METHOD = "private_key_jwt"
LONGEST = 3600  # seconds that an assertion may be valid


def token(call: Call) -> Response:
    form = call.request.form
    grant = form.get("grant_type")
    if servers.of(call) and grant in ("client_credentials", TOKEN_EXCHANGE):
        raise OAuthError("unsupported_grant_type", "The authorization grant type is not supported.")
    if grant == "client_credentials":
        return _client_credentials(call, form)
    if grant == DEVICE_CODE:
        return device.poll(call, form)
    if grant == TOKEN_EXCHANGE:
        return exchange.web_sso(call, form)
    if grant == "authorization_code":
        return authorization.redeem(call, form)
    if grant == refresh_tokens.GRANT:
        return refresh_tokens.use(call, form)
    raise OAuthError("unsupported_grant_type", "The authorization grant type is not supported.")


def _client_credentials(call: Call, form: dict[str, str]) -> Response:
    """Scopes must be granted to the client; that it has an admin role too is checked by each call it makes."""
    app = _authenticate(call, form)
    thumbprint = dpop.check_token_request(call)
    if thumbprint is None and app.client.get("dpop_bound_access_tokens"):
        raise OAuthError("invalid_dpop_proof", "The DPoP proof JWT header is missing.")
    scopes = tuple(dict.fromkeys(form.get("scope", "").split()))
    if not scopes:
        raise OAuthError("invalid_scope", "The scope parameter is missing.")
    if not set(scopes) <= app.grants.keys():
        raise OAuthError(
            "invalid_scope", "One or more scopes are not configured for the authorization server."
        )
    issued = tokens.issue_access(call, app, scopes, thumbprint=thumbprint)
    body = {
        "token_type": "DPoP" if thumbprint else "Bearer",
        "expires_in": tokens.ACCESS_LIFE,
        "access_token": issued.value,
        "scope": " ".join(scopes),
    }
    return Response.of_json(body)


def _refused(description: str) -> OAuthError:
    return OAuthError("invalid_client", description, 401)


def _authenticate(call: Call, form: dict[str, str]) -> App:
    """The service app whose key signed the assertion (RFC 7523), each claim checked."""
    assertion = form.get("client_assertion", "")
    if form.get("client_assertion_type") != ASSERTION_TYPE or not assertion:
        raise _refused("A client_assertion of type jwt-bearer is required.")
    app, claims = _verified(call, assertion)
    audience = claims.get("aud")
    allowed = (call.href("/oauth2/v1/token"),)
    if audience not in allowed and not (
        isinstance(audience, list) and set(audience) & set(allowed)
    ):
        raise _refused("The audience claim for client_assertion must be the endpoint invoked.")
    if claims.get("iss") != app.id or claims.get("sub") != app.id:
        raise _refused("The issuer and the subject of client_assertion must be the client_id.")
    expires = claims.get("exp")
    if not isinstance(expires, int | float) or expires <= call.now:
        raise _refused("The client_assertion token is expired.")
    if expires > call.now + LONGEST:
        raise _refused("The client_assertion token has an expiration more than one hour ahead.")
    jti = claims.get("jti")
    if jti is not None and not dpop.remember(call, app.id, str(jti), expires - call.now):
        raise _refused("The client_assertion token has already been used.")
    return app


def _verified(call: Call, assertion: str) -> tuple[App, dict[str, Any]]:
    """The client that the assertion names and its claims, once a registered key of that client signed it."""
    try:
        unproven = jws.extract_compact(assertion.encode())
        header = unproven.headers()
        named = _claims(unproven.payload).get("sub")
    except (JoseError, ValueError) as error:
        raise _refused("The client_assertion is not a valid JWT.") from error
    app = call.org.apps.get(str(named))
    service = app is not None and app.client.get("application_type") == "service"
    if app is None or not service or app.status != "ACTIVE":
        raise _refused("Invalid value for 'client_id' parameter.")
    method = app.credentials["oauthClient"]["token_endpoint_auth_method"]
    if method != ASSERTION_METHOD:
        raise _refused("The client is not registered for private_key_jwt.")
    for known in (app.client.get("jwks") or {}).get("keys") or []:
        if header.get("kid") not in (None, known.get("kid")):
            continue
        try:
            key = jwk.import_key(known)
            return app, jwt.decode(assertion, key, algorithms=dpop.ALGORITHMS).claims
        except (JoseError, ValueError):
            continue
    raise _refused("The client_assertion signature is invalid.")


def _claims(payload: bytes | None) -> dict[str, Any]:
    value = json.loads(payload or b"{}")
    return value if isinstance(value, dict) else {}


def keys(call: Call) -> Response:
    servers.of(call)
    return Response.of_json(tokens.public_keys(call))


ROUTES = (
    *servers.routes("POST", "/v1/token", token),
    *servers.routes("POST", "/v1/revoke", refresh_tokens.revoke),
    *servers.routes("GET", "/v1/keys", keys),
)
