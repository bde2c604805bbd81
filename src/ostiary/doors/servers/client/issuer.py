"""Signing in at the Okta org: the device flow, or a browser with a code that only this process can redeem.

Sources: RFC 8628 (device), RFC 7636 (PKCE), RFC 8252 section 7.3 (loopback), OpenID Connect Discovery 1.0 section 4;
Okta, "Configure the device authorization grant flow". Okta takes ``acr_values`` and ``max_age`` at ``/authorize`` only,
so a step-up needs the browser.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from ostiary.doors.servers.client import bounded_http
from ostiary.doors.servers.client.bounded_http import Place, read_bounded, reason
from ostiary.doors.servers.wire.person import SignInSettings
from ostiary.errors import Denied, Unreachable

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER = 5.0  # seconds that slow_down adds, RFC 8628 section 3.5
LONGEST = 1800.0  # seconds that anybody waits for a person


@dataclass(frozen=True, slots=True)
class Tokens:
    """``refresh_token`` "" where the org gives none."""

    id_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Issuer:
    """What the discovery document says, checked to be the issuer's own."""

    settings: SignInSettings
    authorization: str
    token: str
    device: str


def discover(settings: SignInSettings) -> Issuer:
    """Read ``/.well-known/openid-configuration``. Denied when it is another issuer's (Discovery, 4.3)."""
    url = f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration"
    status, said = fetch(url)
    if status != http.client.OK:
        raise _failed(settings, f"HTTP status {status} from {url}")
    if said.get("issuer") != settings.issuer:
        raise Denied(
            f"cannot sign in at {settings.issuer}",
            why=f"its discovery document is of {said.get('issuer')!r}",
            fix="ask who runs the control plane: ostiary serve --issuer",
            code="foreign-issuer",
        )
    return Issuer(
        settings,
        str(said.get("authorization_endpoint", "")),
        str(said.get("token_endpoint", "")),
        str(said.get("device_authorization_endpoint", "")),
    )


def by_device(
    issuer: Issuer,
    show: Callable[[str, str, str], None],
    wait: Callable[[float], None] = time.sleep,
) -> Tokens:
    """The device flow. ``show`` gets the address to open, the code to enter there, and an address with both."""
    settings = issuer.settings
    asked = {"client_id": settings.client_id, "scope": " ".join(settings.scopes)}
    status, said = fetch(issuer.device, asked)
    if status != http.client.OK or "device_code" not in said:
        raise _refused(settings, said, status)
    address, code = str(said["verification_uri"]), str(said["user_code"])
    show(address, code, str(said.get("verification_uri_complete", address)))
    pause = _seconds(said.get("interval"), 5.0)
    ends = time.monotonic() + min(_seconds(said.get("expires_in"), LONGEST), LONGEST)
    polled = {
        "grant_type": DEVICE_CODE,
        "device_code": str(said["device_code"]),
        "client_id": settings.client_id,
    }
    while time.monotonic() < ends:
        wait(pause)
        status, said = fetch(issuer.token, polled)
        if status == http.client.OK:
            return _tokens(settings, said)
        if said.get("error") == "slow_down":
            pause += SLOWER
        elif said.get("error") != "authorization_pending":
            raise _refused(settings, said, status)
    raise _refused(settings, {"error": "expired_token"}, 400)


@dataclass(frozen=True, slots=True)
class Code:
    """One way through a browser: the address to open, and what redeems the code that comes back."""

    url: str
    redirect: str
    state: str
    nonce: str
    verifier: str = field(repr=False)


def begin_code(
    issuer: Issuer, redirect: str, acr_values: str = "", max_age: int | None = None
) -> Code:
    """``redirect`` is the loopback address where the browser is sent back to; it is registered with the app."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    digest = hashlib.sha256(verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": issuer.settings.client_id,
        "scope": " ".join(issuer.settings.scopes),
        "redirect_uri": redirect,
        "state": state,
        "nonce": nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    if acr_values:
        query["acr_values"] = acr_values
    if max_age is not None:
        query["max_age"] = str(max_age)
    Place(issuer.authorization)  # what is opened in a browser is a URL, and of https
    return Code(f"{issuer.authorization}?{urlencode(query)}", redirect, state, nonce, verifier)


def redeem(issuer: Issuer, code: Code, answer: Mapping[str, str]) -> Tokens:
    """The tokens for what the browser brought back. Denied when it is the answer to another question."""
    settings = issuer.settings
    if not hmac.compare_digest(answer.get("state", "").encode(), code.state.encode()):
        raise Denied(
            f"cannot sign in at {settings.issuer}",
            why="what the browser brought back was not asked for by this run",
            fix="run: ostiary login --browser",
            code="foreign-state",
        )
    if "code" not in answer:
        raise _refused(settings, answer, 400)
    asked = {
        "grant_type": "authorization_code",
        "client_id": settings.client_id,
        "code": answer["code"],
        "redirect_uri": code.redirect,
        "code_verifier": code.verifier,
    }
    status, said = fetch(issuer.token, asked)
    if status != http.client.OK:
        raise _refused(settings, said, status)
    tokens = _tokens(settings, said)
    if _claims(tokens.id_token).get("nonce") != code.nonce:
        raise _failed(settings, "the ID token was made for another run")
    return tokens


def fetch(url: str, form: Mapping[str, str] | None = None) -> tuple[int, Mapping[str, Any]]:
    """GET, or POST of a form; status and the JSON object of the answer, empty where it is none."""
    place = Place(url)
    headers = {"Accept": "application/json"}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    ends = time.monotonic() + bounded_http.SECONDS
    try:
        connection = place.open()
        try:
            body = None if form is None else urlencode(form)
            connection.request("GET" if form is None else "POST", place.path, body, headers)
            answer = connection.getresponse()
            read = read_bounded(answer, connection, ends)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(
            f"cannot reach {place.host} port {place.port} to sign in",
            why=reason(error),
            fix="see that this network leads there, and SSL_CERT_FILE",
        ) from error
    try:
        said = json.loads(read)
    except (ValueError, RecursionError):
        said = {}
    return answer.status, said if isinstance(said, dict) else {}


def _tokens(settings: SignInSettings, said: Mapping[str, Any]) -> Tokens:
    id_token = said.get("id_token")
    if not isinstance(id_token, str):
        raise _failed(settings, "it gave no ID token; the scope openid is missing")
    return Tokens(id_token, str(said.get("refresh_token", "")))


def _claims(id_token: str) -> Mapping[str, Any]:
    """What an ID token says. It is not verified here: the control plane does that."""
    try:
        part = id_token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, IndexError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _seconds(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else otherwise


def _refused(settings: SignInSettings, said: Mapping[str, Any], status: int) -> Denied:
    code = str(said.get("error") or said.get("errorCode") or status)
    words = said.get("error_description") or said.get("errorSummary") or ""
    return Denied(
        f"cannot sign in at {settings.issuer}",
        why=f"{code}: {words}" if words else code,
        fix="run: ostiary login",
        code=code,
    )


def _failed(settings: SignInSettings, why: str) -> Denied:
    return Denied(
        f"cannot sign in at {settings.issuer}",
        why=why,
        fix="ask who runs the control plane: ostiary serve --issuer",
    )
