"""The documents by which clients find their way: ``/.well-known/*``."""

from __future__ import annotations

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import assurance, servers, tokens
from ostiary.sandbox.okta.call import PUBLIC, Call, Route
from ostiary.sandbox.okta.errors import invalid

GRANTS = (
    "authorization_code",
    "client_credentials",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:token-exchange",
)


def organization(call: Call) -> Response:
    body = {
        "id": call.org.id,
        "_links": {"organization": call.link("")},
        "pipeline": call.org.pipeline,
        "settings": {"analyticsCollectionEnabled": False, "bugReportingEnabled": True},
    }
    return Response.of_json(body)


def webfinger(call: Call) -> Response:
    resource = call.request.query.get("resource", "")
    if not resource.startswith(("okta:acct:", "acct:")):
        raise invalid("resource", "resource: must be okta:acct:<login>")
    link = {
        "rel": "okta:idp",
        "href": call.origin,
        "titles": {"und": call.org.name},
        "properties": {"okta:idp:type": "OKTA", "okta:idp:id": call.org.id},
    }
    return Response.of_json(
        {"subject": resource, "links": [link]}, headers=[("content-type", "application/jrd+json")]
    )


def authorization_server(call: Call) -> Response:
    server = servers.of(call)
    base = tokens.issuer(call, server) if server else call.href("/oauth2")
    groups = ["groups"] if not server else []
    body = {
        "issuer": tokens.issuer(call, server),
        "authorization_endpoint": f"{base}/v1/authorize",
        "token_endpoint": f"{base}/v1/token",
        "device_authorization_endpoint": f"{base}/v1/device/authorize",
        "userinfo_endpoint": f"{base}/v1/userinfo",
        "revocation_endpoint": f"{base}/v1/revoke",
        "jwks_uri": f"{base}/v1/keys",
        "acr_values_supported": list(
            assurance.IDENTITY_ENGINE if call.org.pipeline == "idx" else assurance.CLASSIC
        ),
        "response_types_supported": ["code", "id_token", "token"],
        "grant_types_supported": list(GRANTS),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access", *groups],
        "dpop_signing_alg_values_supported": ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"],
    }
    return Response.of_json(body)


ROUTES = (
    Route("GET", "/.well-known/okta-organization", PUBLIC, organization),
    Route("GET", "/.well-known/webfinger", PUBLIC, webfinger),
    *(
        Route("GET", f"{base}/.well-known/{name}", PUBLIC, authorization_server)
        for base in ("", "/oauth2/{server}")
        for name in ("oauth-authorization-server", "openid-configuration")
    ),
)
