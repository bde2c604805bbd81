"""Signing in at the Okta org: who it is, and the device flow, for which any browser anywhere will do.

Sources: RFC 8628 (device), OpenID Connect Discovery 1.0 section 4; Okta, "Configure the device authorization grant flow".
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from ostiary.doors.servers.client import bounded_http
from ostiary.doors.servers.client.bounded_http import Place, advice, answered, reason
from ostiary.doors.servers.wire.person import SignInSettings
from ostiary.errors import Denied, Unreachable

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
SHOWN = ("verification_uri", "user_code")  # RFC 8628 section 3.2
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
        raise failed(settings, f"HTTP status {status} from {url}")
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
    if not issuer.device:
        raise failed(settings, "it has no device flow", "run: ostiary login --browser")
    asked = {"client_id": settings.client_id, "scope": " ".join(settings.scopes)}
    status, said = fetch(issuer.device, asked)
    if status != http.client.OK or "device_code" not in said:
        raise refused(settings, said, status)
    if any(not isinstance(said.get(one), str) for one in SHOWN):
        raise failed(settings, f"its answer lacks one of {', '.join(SHOWN)}")
    address, code = said["verification_uri"], said["user_code"]
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
        try:
            status, said = fetch(issuer.token, polled)
        except (
            Unreachable
        ):  # the person may be in the browser still: RFC 8628 section 3.5 says come again, later
            pause += SLOWER
            continue
        if status == http.client.OK:
            return tokens_in(settings, said)
        if said.get("error") == "slow_down":
            pause += SLOWER
        elif said.get("error") != "authorization_pending":
            raise refused(settings, said, status)
    raise refused(settings, {"error": "expired_token"}, 400)


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
            answer, read = answered(connection, ends)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        fix = advice(error, "export SSL_CERT_FILE=FILE") or "see that this network leads there"
        what = f"cannot reach {place.host} port {place.port} to sign in"
        raise Unreachable(what, why=reason(error), fix=fix) from error
    try:
        said = json.loads(read)
    except (ValueError, RecursionError):
        said = {}
    return answer.status, said if isinstance(said, dict) else {}


def tokens_in(settings: SignInSettings, said: Mapping[str, Any]) -> Tokens:
    id_token = said.get("id_token")
    if not isinstance(id_token, str):
        raise failed(settings, "it gave no ID token; the scope openid is missing")
    return Tokens(id_token, str(said.get("refresh_token", "")))


def _seconds(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else otherwise


def refused(settings: SignInSettings, said: Mapping[str, Any], status: int) -> Denied:
    code = str(said.get("error") or said.get("errorCode") or status)
    words = said.get("error_description") or said.get("errorSummary") or ""
    return Denied(
        f"cannot sign in at {settings.issuer}",
        why=f"{code}: {words}" if words else code,
        fix="run: ostiary login",
        code=code,
    )


def failed(
    settings: SignInSettings,
    why: str,
    fix: str = "ask who runs the control plane: ostiary serve --issuer",
) -> Denied:
    return Denied(f"cannot sign in at {settings.issuer}", why=why, fix=fix)
