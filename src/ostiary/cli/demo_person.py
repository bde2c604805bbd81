"""A person of the sandbox at a browser: signs in on the org's pages with password and code, and lets a device in."""

from __future__ import annotations

import time
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx2

from ostiary.errors import Denied
from ostiary.okta.sign_in import STEP, totp
from ostiary.sandbox.seeds import SeedPerson

CODES = 3  # tried: a code is good once, and the person may have signed in a moment ago


class _Form(HTMLParser):
    """The form of a page that is not the sign-out button: where it goes and what it holds."""

    def __init__(self, page: httpx2.Response) -> None:
        super().__init__()
        self.action, self.fields = "", dict[str, str]()
        self.feed(page.text)
        self.action = urljoin(str(page.url), self.action)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and values.get("action") != "/login/signout":
            self.action = values.get("action", "")
        if tag == "input" and "name" in values:
            self.fields[values["name"]] = values.get("value", "")


def allow_device(person: SeedPerson, url: str) -> None:
    """Open the address of a device flow as ``person`` and allow it. Denied when the org does not."""
    with httpx2.Client(follow_redirects=True, timeout=10) as browser:
        page = browser.get(url)
        codes = iter(range(CODES))
        while "password" in (form := _Form(page)).fields or "passCode" in form.fields:
            if "password" in form.fields:
                known = {"username": person.login, "password": person.password}
            elif (ahead := next(codes, None)) is not None:
                step = int(time.time()) // STEP + ahead
                known = {"passCode": totp(person.totp_secret, step)}
            else:
                break
            page = browser.post(form.action, data=form.fields | known)
        answer = browser.post(form.action, data=form.fields | {"decision": "allow"})
        if "Device activated" not in answer.text:
            raise Denied(
                f"{person.login} could not let the device in",
                why=f"the page of the org answered {answer.status_code}",
                code=str(answer.status_code),
            )
