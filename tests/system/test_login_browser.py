"""``ostiary login`` in a real browser: the org's own pages, back on loopback, into a server; and what is refused there."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from subprocess import PIPE
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from browser import Browser
from door_proofs import rows
from door_world import OSTIARY, RETURN, Client, Door, Site

pytestmark = pytest.mark.root
SITE = Site({"lab1": "lab"}, {}, {"lab": [{"subject": "group:sre", "login": True}]})
TWO_FACTORS, RESISTANT = "urn:okta:loa:2fa:any", "phr"
BACK = "Go back to the terminal."
AGE = 10  # seconds that a sign-in may be old


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    with Door(tmp_path_factory.mktemp("door"), SITE) as door:
        door.fill()
        yield door


@contextlib.contextmanager
def chromium(door):
    """A browser on the client's network in which nobody is signed in."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("not run: no chromium; make test as root adds it")
    browser = Browser(program, door.fleet.client.command)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def browser(door):
    """Grace's: she stays signed in there, because her authenticator gives a code in half a minute."""
    with chromium(door) as browser:
        yield browser


@pytest.fixture(scope="module")
def grace(door, browser):
    """She has signed in and entered once."""
    grace = Client(door, "grace")
    code, _, talk = login(grace, lambda url: sign_in(browser, grace, url), *at(door))
    assert code == 0, talk
    grace.configure()
    grace.until_in("lab1")
    return grace


def at(door):
    return "--browser", "--control", door.url, "--ca", door.ca_file


def login(person, in_browser, *options):
    """``ostiary login`` and what is done with the address that it says; exit code and what was said."""
    started = person.popen(OSTIARY, "login", *options, stdout=PIPE, stderr=PIPE)
    try:
        line = started.stderr.readline()
        found = re.fullmatch(r"sign in at: (https://\S+)\n", line)
        assert found, line + started.stderr.read()
        in_browser(found[1])
        said, talk = started.communicate(timeout=30)
    except BaseException:
        started.kill()
        started.communicate()
        raise
    return started.returncode, said, talk


def asks_for(browser, field):
    return browser.run(f"document.querySelector('input[name={field}]') !== null")


def sign_in(browser, person, url):
    """Open ``url`` and fill in what the org's pages ask for, until they ask no more; the fields that they asked for."""
    browser.open(url)
    asked = []
    while True:
        if asks_for(browser, "password"):
            asked.append("password")
            browser.fill(username=person.at_okta.login, password=person.at_okta.password)
        elif asks_for(browser, "passCode"):
            asked.append("passCode")
            browser.fill(passCode=person.at_okta.authenticator.code())
        else:
            return asked
        browser.press("form.card button")


def test_who_signs_in_there_enters(door):
    """Ken, for the first time, by password and code; he comes back to the terminal with a code of the org."""
    ken = Client(door, "ken")
    asked = []
    with chromium(door) as browser:
        code, said, talk = login(
            ken, lambda url: asked.extend(sign_in(browser, ken, url)), *at(door)
        )
        assert (code, asked) == (0, ["password", "passCode"]), talk
        assert browser.text("body") == BACK
        assert browser.run("location.href").startswith(f"{RETURN}?code=")
    assert "ken@acme.example is signed in" in said
    ken.configure()
    ken.until_in("lab1")
    before = rows(door)
    assert ken.ssh("lab1", "id -un").stdout == "ken\n"
    (new,) = [one for one in rows(door) if one not in before]
    assert (new["person_login"], new["server"]) == ("ken@acme.example", door.ids["lab1"])


def test_whoever_is_signed_in_there_already_is_asked_nothing(door, grace, browser):
    asked = []
    code, _, _ = login(grace, lambda url: asked.extend(sign_in(browser, grace, url)), *at(door))
    assert (code, asked) == (0, [])


def test_what_was_not_asked_for_by_this_run_is_not_taken(door, grace, browser):
    """A page that somebody else made sends the browser back, with a code of theirs; her own sign-in goes on."""
    theirs = urlencode({"code": "theirs", "state": "theirs"})

    def both(url):
        browser.open(f"{RETURN}?{theirs}")
        assert BACK not in browser.text("body")
        sign_in(browser, grace, url)

    code, said, talk = login(grace, both, *at(door))
    assert code == 0, talk
    assert "grace@acme.example is signed in" in said


def test_a_code_is_good_once_and_for_the_run_that_asked(door, grace, browser):
    login(grace, lambda url: sign_in(browser, grace, url), *at(door))
    used = parse_qs(urlsplit(browser.run("location.href")).query)["code"][0]

    def again(url):
        state = parse_qs(urlsplit(url).query)["state"][0]
        browser.open(f"{RETURN}?{urlencode({'code': used, 'state': state})}")

    code, said, talk = login(grace, again, *at(door))
    assert (code, said) == (4, "")
    assert "The authorization code is invalid or has expired." in talk


def fix_of(talk):
    """The words of the command that a refusal says, without ``ostiary login``."""
    return re.search(r"fix: run: ostiary login(.*)", talk)[1].split()


def test_who_signed_in_too_long_ago_signs_in_again_and_is_let_in(door, grace, browser):
    time.sleep(AGE + 1)
    login(grace, lambda url: sign_in(browser, grace, url), *at(door))
    door.set_rules("lab", max_age=AGE)
    try:
        refused = grace.ssh("lab1", "true", check=False)
        assert refused.returncode == 255
        assert "cannot enter lab1" in refused.stderr
        assert f"s old; at most {AGE} s are allowed" in refused.stderr
        asked, again = [], fix_of(refused.stderr)
        code, _, _ = login(grace, lambda url: asked.extend(sign_in(browser, grace, url)), *again)
        assert (code, asked[:1]) == (0, ["password"]), "though the browser was signed in"
        assert grace.ssh("lab1", "echo in").stdout == "in\n"
    finally:
        door.set_rules("lab")


def test_who_signed_in_too_weakly_does_it_as_the_project_asks(door, grace, browser):
    login(grace, lambda url: sign_in(browser, grace, url), *at(door))
    door.set_rules("lab", acr_values=TWO_FACTORS)
    try:
        refused = grace.ssh("lab1", "true", check=False)
        assert f"it asks for {TWO_FACTORS}; the sign-in had none said" in refused.stderr
        again = fix_of(refused.stderr)
        assert login(grace, lambda url: sign_in(browser, grace, url), *again)[0] == 0
        assert grace.ssh("lab1", "echo in").stdout == "in\n"
    finally:
        door.set_rules("lab")


def test_who_cannot_sign_in_so_strongly_is_told_by_browser_and_terminal(door, grace, browser):
    door.set_rules("lab", acr_values=RESISTANT)
    try:
        refused = grace.ssh("lab1", "true", check=False)
        again = fix_of(refused.stderr)
        code, said, talk = login(grace, lambda url: sign_in(browser, grace, url), *again)
        assert (code, said) == (4, "")
        text = "The user cannot reach the authentication that acr_values asks for."
        assert text in talk
        assert browser.text("body") == text
        assert grace.ssh("lab1", "true", check=False).returncode == 255
    finally:
        door.set_rules("lab")
