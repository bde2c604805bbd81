"""The pages of the sandbox in a real browser: sign-in, code, tiles, role picker, console, device, and refusals.

``OSTIARY_PICTURES=FOLDER`` keeps a picture of each page, to be looked at.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from browser import Browser
from conftest import STRICT
from person import Form

PICTURES = os.environ.get("OSTIARY_PICTURES")


@pytest.fixture
def browser():
    program = shutil.which("chromium")
    if program is None:
        (pytest.fail if STRICT else pytest.skip)("not run: no chromium; make test as root adds it")
    browser = Browser(program)
    yield browser
    browser.close()


def picture(browser, name):
    if PICTURES:
        Path(PICTURES).mkdir(exist_ok=True)
        browser.picture(Path(PICTURES) / f"{name}.png")


def sign_in(browser, sandbox, name, goal=""):
    """Through the org's own pages, to the dashboard or ``goal``."""
    person = sandbox.people[name]
    browser.open(goal or sandbox.described["okta_url"])
    picture(browser, "sign-in")
    browser.fill(username=person.login, password=person.password)
    browser.press("form.card button")
    browser.fill(passCode=person.authenticator.code())
    picture(browser, "code")
    browser.press("form.card button")


def test_from_the_dashboard_into_an_account(browser, sandbox):
    sign_in(browser, sandbox, "linus")
    assert browser.texts(".tiles a") == ["AWS"]
    picture(browser, "dashboard")
    browser.press(".tiles a")
    picture(browser, "handing-over")
    browser.press("#appForm button")
    picture(browser, "role-picker")
    offered = browser.texts(".saml-account-name")
    assert offered == [
        "Account: acme-prod-api (210000000002)",
        "Account: acme-dev-web (220000000001)",
        "Account: acme-dev-api (220000000002)",
        "Account: acme-dev-data (220000000003)",
        "Account: acme-sandbox-1 (250000000001)",
        "Account: 250000000002",  # has no alias
    ]
    assert browser.texts(".saml-role-description") == ["ReadOnly", *["PowerUser"] * 5]
    browser.run("document.querySelector('input[name=roleIndex]').checked = true")
    browser.press("#signin_button")
    picture(browser, "console")
    arn = "arn:aws:sts::210000000002:assumed-role/ReadOnly/linus@acme.example"
    assert browser.text("#arn") == arn
    assert browser.text("#account") == "210000000002"


def test_who_is_not_meant_sees_no_app_and_is_turned_away(browser, sandbox):
    sign_in(browser, sandbox, "mallory")
    assert browser.texts(".tiles a") == []
    picture(browser, "no-apps")
    browser.open(sandbox.tiles["AWS"])
    picture(browser, "not-assigned")
    assert "not assigned" in browser.text()


def test_a_wrong_password_says_so(browser, sandbox):
    browser.open(sandbox.described["okta_url"])
    browser.fill(username=sandbox.people["ada"].login, password="wrong")
    browser.press("form.card button")
    picture(browser, "wrong-password")
    assert browser.text("[role=alert]") == "Unable to sign in"
    assert browser.run("document.querySelector('#username').value") == "ada@acme.example"


def test_a_device_is_allowed(browser, sandbox):
    client = sandbox.described["env"]["OKTA_OIDC_CLIENT_ID"]
    asked = {"client_id": client, "scope": "openid okta.apps.sso"}
    code = sandbox.api("POST", "/oauth2/v1/device/authorize", data=asked).json()
    sign_in(browser, sandbox, "grace", code["verification_uri"])
    picture(browser, "activate")
    browser.fill(user_code=code["user_code"])
    browser.press("form.card button")
    picture(browser, "allow-device")
    browser.press("button[value=allow]")
    picture(browser, "device-activated")
    assert "Device activated" in browser.text()


def test_what_aws_cannot_use_is_refused(browser, sandbox):
    browser.open(sandbox.described["aws_url"] + "/signin.aws.amazon.com/saml")
    picture(browser, "aws-refused")
    assert "Start at your organization's own sign-in page." in browser.text()
    browser.open(sandbox.described["okta_url"] + "/no/such/page")
    picture(browser, "okta-no-page")
    assert "There is no page /no/such/page here." in browser.text()


def test_the_same_walk_without_a_browser(sandbox):
    """Every step is a plain form: what a script sees is what a person sees."""
    with sandbox.people["katherine"].browser() as client:
        page = sandbox.people["katherine"].open(client, sandbox.tiles["AWS GovCloud"])
        form = Form(page)
        assert form.action.endswith("/signin.amazonaws-us-gov.com/saml")
        picker = client.post(form.action, data=form.fields)
        assert picker.text.count('class="saml-radio"') == 4
        role = "arn:aws-us-gov:iam::310000000002:role/ReadOnly"
        entered = client.post(Form(picker).action, data=Form(picker).fields | {"roleIndex": role})
        arn = "arn:aws-us-gov:sts::310000000002:assumed-role/ReadOnly/katherine@acme.example"
        assert arn in entered.text
