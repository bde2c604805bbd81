"""The JSON of an app: what we compare, what we send, what a before-image keeps."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from lxml import etree

from ostiary.errors import Unreachable
from ostiary.okta.client import Object
from ostiary.plan.resource import Json

AMAZON_AWS = "amazon_aws"
NATIVE = "oidc_client"
SIGN_ON_MODES = {AMAZON_AWS: "SAML_2_0", "amazon_aws_sso": "SAML_2_0", NATIVE: "OPENID_CONNECT"}
CUTOVER_SETTINGS = ("groupFilter", "appFilter", "roleValuePattern")
SECRET_SETTINGS = frozenset({"accessKey", "secretKey", "secretKeyEnc"})
_ASSIGNED_BY_OKTA = frozenset({"_links", "_embedded", "created", "lastUpdated", "orn", "features"})


def note_of(app: Mapping[str, Any]) -> str | None:
    note: str | None = ((app.get("settings") or {}).get("notes") or {}).get("admin")
    return note


def with_note(body: dict[str, Any], note: str | None) -> dict[str, Any]:
    """``body`` with this admin note; other notes stay."""
    settings = body.setdefault("settings", {})
    settings["notes"] = {**(settings.get("notes") or {}), "admin": note}
    return body


def attributes_of(app: Object, policy: str | None) -> dict[str, Json]:
    """The app in the shape of ``wanted``; secrets are left out."""
    found: dict[str, Json] = {
        "name": app["name"],
        "policy": policy,
        "status": app["status"],
        "sign_on_mode": app["signOnMode"],
    }
    if app["name"] == NATIVE:
        client = app["settings"].get("oauthClient") or {}
        found["grant_types"] = [*sorted(client.get("grant_types") or [])]
    else:
        found["settings"] = _without_secrets(app["settings"].get("app") or {})
    return found


def changed(
    have: Mapping[str, Json], wanted: Mapping[str, Json], instead: Mapping[str, Json] | None = None
) -> list[str]:
    """Names of what ``wanted`` sets and ``have`` has otherwise; with ``instead``, otherwise than that has.

    Of ``settings`` only the keys in ``wanted`` count, and a policy of None is no wish.
    """
    expected = wanted if instead is None else instead
    names = ["name"] if have["name"] != expected["name"] else []
    if wanted.get("policy") is not None and have["policy"] != expected["policy"]:
        names.append("policy")
    if "grant_types" in wanted and _sorted(have.get("grant_types")) != _sorted(
        expected.get("grant_types")
    ):
        names.append("grant_types")
    settings, target, current = (
        wanted.get("settings"),
        expected.get("settings"),
        have.get("settings"),
    )
    if isinstance(settings, dict):
        of = target if isinstance(target, dict) else {}
        now = current if isinstance(current, dict) else {}
        names += [f"settings.{name}" for name in settings if now.get(name) != of.get(name)]
    return names


def body_for(label: str, wanted: Mapping[str, Json]) -> dict[str, Any]:
    """The body that creates the app."""
    name = str(wanted["name"])
    body: dict[str, Any] = {"name": name, "label": label, "signOnMode": SIGN_ON_MODES.get(name)}
    if name != NATIVE:
        return {**body, "settings": {"app": wanted["settings"]}}
    grants = wanted["grant_types"]
    browser = isinstance(grants, list) and "authorization_code" in grants
    client = {
        "application_type": "native",
        "grant_types": grants,
        "response_types": ["code"] if browser else [],
        **({"redirect_uris": ["http://localhost:8080/callback"]} if browser else {}),
    }
    return {
        **body,
        "credentials": {"oauthClient": {"token_endpoint_auth_method": "none"}},
        "settings": {"oauthClient": client},
    }


def before_image(app: Object, policy: str | None) -> dict[str, Json]:
    """All of the app that a PUT may bring back, without secrets, and the name of its policy."""
    image = copy.deepcopy({name: app[name] for name in app if name not in _ASSIGNED_BY_OKTA})
    if image["settings"].get("app"):
        image["settings"]["app"] = _without_secrets(image["settings"]["app"])
    image.get("credentials", {}).get("oauthClient", {}).pop("client_secret", None)
    return {**image, "policy": policy}


def entity_id_of(metadata: str, label: str) -> str:
    """The ``entityID`` of an app's SAML metadata."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        found = etree.fromstring(metadata.encode(), parser).get("entityID")
    except etree.XMLSyntaxError:
        found = None
    if not found:
        raise Unreachable(
            f"cannot read SAML metadata of app {label}",
            why="no entityID is in the answer",
            fix="check for a proxy between here and Okta, then run the same command again",
        )
    return str(found)


def _without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in sorted(settings) if name not in SECRET_SETTINGS}


def _sorted(value: Json | None) -> list[str]:
    return sorted(str(item) for item in value) if isinstance(value, list) else []
