"""``oidc_client`` apps: the native app of the device flow and OAuth service apps."""

from __future__ import annotations

from typing import Any

from joserfc import jwk
from joserfc.errors import JoseError

from ostiary.sandbox.okta.app_settings import DEVICE_CODE, TOKEN_EXCHANGE
from ostiary.sandbox.okta.call import Call
from ostiary.sandbox.okta.errors import invalid
from ostiary.sandbox.okta.objects import App

GRANTS = {
    "native": {DEVICE_CODE, TOKEN_EXCHANGE, "authorization_code", "refresh_token", "implicit"},
    "service": {"client_credentials", TOKEN_EXCHANGE},
}
METHODS = {"native": ("none",), "service": ("private_key_jwt", "client_secret_basic")}
MAX_KEYS = 50


def create(call: Call, body: dict[str, Any]) -> App:
    if body.get("signOnMode") != "OPENID_CONNECT":
        raise invalid("signOnMode", "signOnMode: An oidc_client must be OPENID_CONNECT.")
    label = body.get("label")
    if not isinstance(label, str) or not label.strip():
        raise invalid("label", "label: The field cannot be left blank")
    client = _client(body)
    given = (body.get("credentials") or {}).get("oauthClient") or {}
    kind = client["application_type"]
    method = given.get("token_endpoint_auth_method", METHODS[kind][0])
    if method not in METHODS[kind]:
        raise invalid("token_endpoint_auth_method", f"{method} is not supported by {kind} apps.")
    app = call.org.add_app("oidc_client", label, mode="OPENID_CONNECT", oauthClient=client)
    app.credentials["oauthClient"] = {
        "autoKeyRotation": True,
        "client_id": app.id,
        "token_endpoint_auth_method": method,
        "pkce_required": kind == "native",
    }
    return app


def replaced(app: App, body: dict[str, Any]) -> dict[str, Any]:
    """The ``settings`` of a replacement. The application type stays what it is."""
    client = _client(body)
    if client["application_type"] != app.client["application_type"]:
        raise invalid("application_type", "application_type: The field cannot be changed.")
    return {"oauthClient": client}


def _client(body: dict[str, Any]) -> dict[str, Any]:
    client = (body.get("settings") or {}).get("oauthClient")
    if not isinstance(client, dict):
        raise invalid("settings.oauthClient", "oauthClient: The field cannot be left blank")
    kind = client.get("application_type")
    if kind not in GRANTS:
        raise invalid("application_type", f"application_type: {kind} is not supported here.")
    grants = client.get("grant_types")
    if not isinstance(grants, list) or not grants or not set(grants) <= GRANTS[kind]:
        raise invalid("grant_types", f"grant_types: {grants} cannot be used by a {kind} app.")
    if "authorization_code" in grants and not client.get("redirect_uris"):
        raise invalid("redirect_uris", "redirect_uris: The field cannot be left blank")
    keys = (client.get("jwks") or {}).get("keys") or []
    if len(keys) > MAX_KEYS:
        raise invalid("jwks", f"jwks: At most {MAX_KEYS} keys.")
    for key in keys:
        _check_key(key)
    defaults = {"response_types": [], "redirect_uris": [], "consent_method": "TRUSTED"}
    return {**defaults, "dpop_bound_access_tokens": False, **client}


def _check_key(key: Any) -> None:
    try:
        public = not jwk.import_key(key).is_private
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise invalid("jwks", "jwks: A key is not a valid JWK.") from error
    if not public or not key.get("kid"):
        raise invalid("jwks", "jwks: A key must be public and have a kid.")
