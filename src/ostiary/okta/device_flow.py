"""Signing in by device flow: a code that the person confirms in any browser, then the SAML response of an app.

Sources: RFC 8628; RFC 8693 with Okta's ``web_sso_token`` and ``GET /login/token/sso``, as okta-aws-cli and
gimme-aws-creds use them. Needs the native OIDC app, whose client id is the AWS app's ``webSSOAllowedClient``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from ostiary.errors import Denied, OstiaryError
from ostiary.okta import translate
from ostiary.okta.auth import TOKEN_PATH
from ostiary.okta.browser import Browser
from ostiary.okta.saml_form import SamlForm, saml_form
from ostiary.okta.sign_in import no_assertion

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a grant type
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105
_WEB_SSO = "urn:okta:oauth:token-type:web_sso_token"
SCOPES = ("openid", "okta.apps.sso")


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What the person is shown. ``interval`` and ``expires_in`` are seconds."""

    user_code: str
    verification_uri: str
    verification_uri_complete: str
    interval: float
    expires_in: float
    device_code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    access_token: str = field(repr=False)
    id_token: str = field(repr=False)


class DeviceFlow:
    """The device flow of one org with one native app."""

    def __init__(
        self,
        url: str,
        client_id: str,
        *,
        transport: httpx2.BaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client_id = client_id
        self._clock = clock
        self._sleep = sleep
        self._browser = Browser(url, transport=transport, sleep=sleep)

    def close(self) -> None:
        self._browser.close()

    def begin(self, scopes: Sequence[str] = SCOPES) -> DeviceCode:
        what = f"cannot begin the device flow with client {self._client_id}"
        form = {"client_id": self._client_id, "scope": " ".join(scopes)}
        answer = self._post("/oauth2/v1/device/authorize", form, what)
        return DeviceCode(
            user_code=answer["user_code"],
            verification_uri=answer["verification_uri"],
            verification_uri_complete=answer.get(
                "verification_uri_complete", answer["verification_uri"]
            ),
            interval=float(answer.get("interval", 5)),
            expires_in=float(answer["expires_in"]),
            device_code=answer["device_code"],
        )

    def wait(self, code: DeviceCode) -> Tokens:
        """Ask at the given interval until the person has confirmed. Raises Denied if they do not."""
        what = "cannot sign in by device flow"
        form = {
            "client_id": self._client_id,
            "device_code": code.device_code,
            "grant_type": DEVICE_CODE,
        }
        until, interval = self._clock() + code.expires_in, code.interval
        while self._clock() < until:
            try:
                answer = self._post(TOKEN_PATH, form, what)
                return Tokens(answer["access_token"], answer["id_token"])
            except OstiaryError as error:
                if error.code not in ("authorization_pending", "slow_down"):
                    raise
                interval += 5 if error.code == "slow_down" else 0
            self._sleep(interval)
        raise Denied(
            what, why="nobody confirmed the code in time", fix="run the same command again"
        )

    def saml(self, tokens: Tokens, app_id: str) -> SamlForm:
        """The SAML response of one AWS app, for the person of ``tokens``."""
        what = f"cannot get a SAML response of app {app_id}"
        form = {
            "client_id": self._client_id,
            "actor_token": tokens.access_token,
            "actor_token_type": _ACCESS_TOKEN,
            "subject_token": tokens.id_token,
            "subject_token_type": _ID_TOKEN,
            "grant_type": TOKEN_EXCHANGE,
            "requested_token_type": _WEB_SSO,
            "audience": f"urn:okta:apps:{app_id}",
        }
        token = self._post(TOKEN_PATH, form, what)["access_token"]
        response = self._browser.send(
            "GET", "/login/token/sso", what, params={"token": token}, follow=True
        )
        found = saml_form(response.text)
        if found is None:
            raise no_assertion(response, what)
        return found

    def _post(self, path: str, form: dict[str, str], what: str) -> dict[str, Any]:
        response = self._browser.send("POST", path, what, form=form)
        if response.is_success:
            return self._browser.json(response, what)
        complaint = translate.Complaint.of(response)
        if response.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR or not complaint.code:
            raise translate.failure(response, what, mutation=False)
        raise Denied(what, why=complaint.why, code=complaint.code, fix=_fix(form, complaint.code))


def _fix(form: dict[str, str], code: str) -> str:
    """Okta says only 400 here; these are the causes that users have met."""
    if form.get("grant_type") == TOKEN_EXCHANGE:
        return (
            "three things must hold: webSSOAllowedClient of the AWS app is this client id, the person is "
            "assigned to both apps, both apps have one authentication policy; see them with: ostiary doctor"
        )
    if code in ("unauthorized_client", "invalid_client"):
        return "give the native app the grant types device_code and token-exchange: ostiary apply"
    return "run the same command again and confirm the code in a browser"
