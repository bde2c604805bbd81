"""Signing in as a person with password and one-time code, up to the SAML response of an app.

Source: Okta "Authentication API" (``/api/v1/authn``) and its session cookie redirect; RFC 6238 for the code. For
people of the sandbox and for one's own account; the device flow is in ``device_flow``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import re
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

from ostiary.errors import Denied, UsageError
from ostiary.okta import translate
from ostiary.okta.auth import Secret
from ostiary.okta.browser import Browser
from ostiary.okta.saml_form import SamlForm, saml_form

STEP = 30  # seconds, RFC 6238
BAD_PASSCODE = "E0000068"


@dataclass(frozen=True, slots=True)
class AppLink:
    """An app on a person's dashboard. ``name`` is its key (``amazon_aws``)."""

    app_id: str
    label: str
    name: str
    url: str


class Session:
    """A person who has signed in; close it, or use it in a ``with``."""

    def __init__(self, login: str, user_id: str, browser: Browser) -> None:
        self.login = login
        self.user_id = user_id
        self._browser = browser

    def __repr__(self) -> str:
        return f"Session({self.login!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._browser.close()

    def app_links(self) -> tuple[AppLink, ...]:
        """The apps that this person sees."""
        what = f"cannot list the apps of {self.login}"
        response = self._browser.send("GET", "/api/v1/users/me/appLinks", what)
        if not response.is_success:
            raise translate.failure(response, what, mutation=False)
        try:
            found = response.json()
        except ValueError as error:
            raise translate.not_json(response, what, mutation=False) from error
        return tuple(
            AppLink(one["appInstanceId"], one["label"], one["appName"], one["linkUrl"])
            for one in found
        )

    def open_app(self, link: AppLink | str) -> SamlForm:
        """Open an app by its link and give back the form with the SAML response.

        Raises Denied when the person may not, or when the app wants another factor.
        """
        url = link if isinstance(link, str) else link.url
        what = f"cannot open app {url if isinstance(link, str) else link.label} as {self.login}"
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        response = self._browser.send("GET", path, what, follow=True)
        form = saml_form(response.text)
        if form is None:
            raise no_assertion(response, what)
        return form


class SignIn:
    """The classic sign-in of one org. ``transport`` replaces the network."""

    def __init__(
        self,
        url: str,
        *,
        transport: httpx2.BaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url
        self._transport = transport
        self._clock = clock
        self._sleep = sleep

    def with_password(
        self, login: str, password: Secret | str, totp_secret: Secret | str | None = None
    ) -> Session:
        """Sign in; ``totp_secret`` (base32) answers a request for a second factor. Raises Denied with the reason."""
        browser = Browser(self._url, transport=self._transport, sleep=self._sleep)
        try:
            return self._enter(browser, login, password, totp_secret)
        except BaseException:
            browser.close()
            raise

    def _enter(
        self,
        browser: Browser,
        login: str,
        password: Secret | str,
        totp_secret: Secret | str | None,
    ) -> Session:
        what = f"cannot sign in as {login}"
        body = {"username": login, "password": _reveal(password)}
        answer = self._step(browser, "/api/v1/authn", body, what)
        if answer.get("status") == "MFA_REQUIRED":
            answer = self._second_factor(browser, answer, totp_secret, what)
        if answer.get("status") != "SUCCESS":
            raise Denied(
                what,
                why=f"Okta wants more first: {answer.get('status')}",
                fix="sign in once with a browser and do what it asks for",
            )
        home = {"token": answer["sessionToken"], "redirectUrl": f"{browser.url}/app/UserHome"}
        browser.send("GET", "/login/sessionCookieRedirect", what, params=home)
        if not browser.has_cookie("sid"):
            raise Denied(what, why="Okta gave no session cookie", fix="sign in with a browser")
        return Session(login, answer["_embedded"]["user"]["id"], browser)

    def _second_factor(
        self,
        browser: Browser,
        answer: dict[str, Any],
        totp_secret: Secret | str | None,
        what: str,
    ) -> dict[str, Any]:
        """Answer with a one-time code; with the next one where this one was used in the same half minute."""
        factors = answer["_embedded"]["factors"]
        factor = next((one for one in factors if one["factorType"] == "token:software:totp"), None)
        if factor is None or totp_secret is None:
            offered = ", ".join(sorted(one["factorType"] for one in factors))
            raise Denied(
                what,
                why=f"Okta asks for a second factor ({offered})",
                fix="give the secret of a token:software:totp factor, or sign in by device flow",
            )
        path = f"/api/v1/authn/factors/{factor['id']}/verify"
        now = int(self._clock()) // STEP
        for step in (now, now + 1):
            body = {
                "stateToken": answer["stateToken"],
                "passCode": totp(_reveal(totp_secret), step),
            }
            try:
                return self._step(browser, path, body, what)
            except Denied as error:
                if error.code != BAD_PASSCODE or step > now:
                    raise
        raise AssertionError("unreachable")

    @staticmethod
    def _step(browser: Browser, path: str, body: dict[str, str], what: str) -> dict[str, Any]:
        response = browser.send("POST", path, what, body=body)
        if response.is_success:
            return browser.json(response, what)
        error = translate.failure(response, what, mutation=False)
        if isinstance(error, Denied):
            error.fix = "check login, password and second factor with a browser"
        raise error


def totp(secret: str, step: int) -> str:
    """The six digits of RFC 6238 (SHA-1) for one 30-second step since the epoch. ``secret`` is base32."""
    text = secret.replace(" ", "").upper()
    try:
        key = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        raise UsageError(
            "cannot make a one-time code",
            why="the TOTP secret is not base32",
            fix="copy the secret that Okta showed when the factor was set up",
        ) from None
    digest = hmac.digest(key, struct.pack(">Q", step), hashlib.sha1)
    offset = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def no_assertion(response: httpx2.Response, what: str) -> Denied:
    """Why a page that should hold a SAML response holds none."""
    complaint = translate.Complaint.of(response)
    if response.status_code == httpx2.codes.FORBIDDEN:
        why = "Okta lets this person not open it: not assigned to it, or its policy asks for more"
        fix = "ostiary access what <login>"
    elif response.status_code == httpx2.codes.NOT_FOUND:
        why, fix = "there is no such app, or it is not active", "ostiary plan"
    elif "login" in urlsplit(str(response.url)).path:
        why = "Okta wants another sign-in: the app's authentication policy is stricter than this session"
        fix = "sign in with a second factor, or look at the policy with: ostiary doctor"
    else:
        why, fix = "the answer holds no SAML response", "ostiary doctor"
    said = f" (Okta: {complaint.why if complaint.code else _heading(response.text)})"
    return Denied(what, why=why + said, fix=fix, code=complaint.code)


def _heading(page: str) -> str:
    """What a page says to its reader: its first heading and paragraph."""
    found = re.findall(r"<(?:h1|p)\b[^>]*>([^<]+)<", page)[:2]
    return ": ".join(html.unescape(text.strip()) for text in found) or "nothing readable"


def _reveal(text: Secret | str) -> str:
    return text.reveal() if isinstance(text, Secret) else text
