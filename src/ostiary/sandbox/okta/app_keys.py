"""SAML metadata and signing keys of an app: ``…/credentials/keys`` and ``…/sso/saml/metadata``.

A generated key does nothing until an update of the app names its ``kid``.
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import quoteattr

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import apps
from ostiary.sandbox.okta.call import Call, Route
from ostiary.sandbox.okta.errors import invalid, missing
from ostiary.sandbox.okta.ids import stamp
from ostiary.sandbox.okta.objects import App
from ostiary.sandbox.okta.paging import whole
from ostiary.sandbox.okta.signing import SigningKey

_SHORTEST, _LONGEST = 2, 10  # years
_BINDINGS = ("HTTP-POST", "HTTP-Redirect")
_NAME_IDS = ("unspecified", "emailAddress")


def issuer(app: App) -> str:
    return f"http://www.okta.com/{app.external}"


def sso_path(app: App) -> str:
    return f"/app/{app.key}/{app.external}/sso/saml"


def active_key(app: App) -> SigningKey:
    return app.keys[app.credentials["signing"]["kid"]]


def show(key: SigningKey) -> dict[str, Any]:
    return {
        "kty": "RSA",
        "created": stamp(key.created),
        "lastUpdated": stamp(key.created),
        "expiresAt": stamp(key.expires),
        "alg": "RS256",
        "x5c": [key.certificate_text],
        "kid": key.kid,
        "use": "sig",
        **key.public_numbers(),
    }


def list_keys(call: Call) -> Response:
    return whole(call, [show(key) for key in apps.find(call).keys.values()])


def get_key(call: Call) -> Response:
    return Response.of_json(show(_key(call, apps.find(call))))


def generate(call: Call) -> Response:
    app = apps.find(call)
    text = call.request.query.get("validityYears", "")
    if not text.isascii() or not text.isdigit() or not _SHORTEST <= int(text) <= _LONGEST:
        cause = f"validityYears: must be {_SHORTEST} to {_LONGEST}."
        raise invalid("validityYears", cause)
    key = call.org.new_key(int(text))
    app.keys[key.kid] = key
    return Response.of_json(show(key), 201)


def clone(call: Call) -> Response:
    key = _key(call, apps.find(call))
    wanted = call.request.query.get("targetAid", "")
    target = call.org.apps.get(wanted)
    if target is None:
        raise missing("AppInstance", wanted)
    if key.kid in target.keys:
        raise invalid(
            "kid", "Key already exists in the list of key credentials for the target app."
        )
    target.keys[key.kid] = key
    return Response.of_json(show(key), 201)


def metadata(call: Call) -> Response:
    app = apps.find(call)
    if app.mode != "SAML_2_0":
        raise invalid("signOnMode", "The app does not sign on with SAML 2.0.")
    kid = call.request.query.get("kid", app.credentials["signing"]["kid"])
    key = app.keys.get(kid)
    if key is None:
        raise missing("JsonWebKey", kid)
    text = document(app, key, call.href(sso_path(app)))
    return Response(200, text.encode(), (("content-type", "text/xml;charset=UTF-8"),))


def document(app: App, key: SigningKey, location: str) -> str:
    """The metadata as Okta writes it: one signing key, the SSO URL by two bindings."""
    names = "".join(
        f"<md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:{name}</md:NameIDFormat>"
        for name in _NAME_IDS
    )
    services = "".join(
        f'<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:{binding}"'
        f" Location={quoteattr(location)}/>"
        for binding in _BINDINGS
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<md:EntityDescriptor entityID={quoteattr(issuer(app))}"
        ' xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">'
        '<md:IDPSSODescriptor WantAuthnRequestsSigned="false"'
        ' protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
        '<md:KeyDescriptor use="signing">'
        '<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>'
        f"<ds:X509Certificate>{key.certificate_text}</ds:X509Certificate>"
        "</ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        f"{names}{services}</md:IDPSSODescriptor></md:EntityDescriptor>"
    )


def public_metadata(call: Call) -> Response:
    """The same document at the address that people paste into AWS; it needs no token."""
    app = next(
        (app for app in call.org.apps.values() if app.external == call.params["external"]), None
    )
    if app is None or app.mode != "SAML_2_0" or app.status != "ACTIVE":
        raise missing("AppInstance", call.params["external"])
    text = document(app, active_key(app), call.href(sso_path(app)))
    return Response(200, text.encode(), (("content-type", "text/xml;charset=UTF-8"),))


def _key(call: Call, app: App) -> SigningKey:
    key = app.keys.get(call.params["kid"])
    if key is None:
        raise missing("JsonWebKey", call.params["kid"])
    return key


READ, MANAGE = "okta.apps.read", "okta.apps.manage"
ROUTES = (
    Route("GET", "/api/v1/apps/{app}/credentials/keys", READ, list_keys),
    Route("POST", "/api/v1/apps/{app}/credentials/keys/generate", MANAGE, generate),
    Route("GET", "/api/v1/apps/{app}/credentials/keys/{kid}", READ, get_key),
    Route("POST", "/api/v1/apps/{app}/credentials/keys/{kid}/clone", MANAGE, clone),
    Route("GET", "/api/v1/apps/{app}/sso/saml/metadata", READ, metadata),
    Route("GET", "/app/{external}/sso/saml/metadata", "", public_metadata),
)
