"""A person at a browser: signs in on the pages of the org with password and code, follows tiles, allows devices."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import time
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx2

STEP = 30  # seconds, RFC 6238
SLACK = 1  # codes of this many steps ago or ahead are taken, here as by authenticators with a wrong clock


class Authenticator:
    """Gives each code once: a code is good for one sign-in only."""

    def __init__(self, secret: str) -> None:
        self._key = base64.b32decode(secret)
        self._last = 0

    def code(self) -> str:
        step = max(self._last + 1, int(time.time()) // STEP - SLACK)
        while step > time.time() // STEP + SLACK:
            time.sleep(0.2)
        self._last = step
        digest = hmac.new(self._key, struct.pack(">Q", step), hashlib.sha1).digest()
        offset = digest[-1] & 15
        number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
        return f"{number % 1_000_000:06d}"


class Form(HTMLParser):
    """The form of a page that is not the sign-out button: where it goes and what it holds."""

    def __init__(self, page: httpx2.Response) -> None:
        super().__init__()
        self.action, self.fields = "", {}
        self.feed(page.text)
        self.action = urljoin(str(page.url), self.action)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "form" and values.get("action") != "/login/signout":
            self.action = values["action"]
        if tag == "input" and "name" in values:
            self.fields[values["name"]] = values.get("value", "")


class Person:
    """``described`` is one of ``people`` in ``sandbox up --json``."""

    def __init__(self, described: dict, ca_context) -> None:
        self.login, self.password = described["login"], described["password"]
        self.authenticator = Authenticator(described["totp_secret"])
        self._ca_context = ca_context

    def browser(self) -> httpx2.Client:
        return httpx2.Client(verify=self._ca_context, follow_redirects=True, timeout=10)

    def open(self, browser: httpx2.Client, url: str) -> httpx2.Response:
        """The page at ``url``, after signing in on the pages that come before it."""
        page = browser.get(url)
        while True:
            form = Form(page)
            if "password" in form.fields:
                known = {"username": self.login, "password": self.password}
            elif "passCode" in form.fields:
                known = {"passCode": self.authenticator.code()}
            else:
                return page
            page = browser.post(form.action, data=form.fields | known)
            page.raise_for_status()

    def saml_response(self, browser: httpx2.Client, tile: str) -> str:
        return Form(self.open(browser, tile)).fields["SAMLResponse"]

    def allow_device(self, browser: httpx2.Client, url: str) -> None:
        page = self.open(browser, url)
        form = Form(page)
        answer = browser.post(form.action, data=form.fields | {"decision": "allow"})
        assert "Device activated" in answer.text, answer.text
