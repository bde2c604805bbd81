"""``ostiary sandbox``: up, up again, status, reset, down, and what is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import time

import httpx2
import pytest

from ostiary.errors import Conflict, NotFound

GROUP = {"profile": {"name": "made-by-a-test"}}


def test_up_again_describes_the_one_that_runs(own_sandbox):
    first = own_sandbox.up()
    assert own_sandbox.up() == first
    refused = own_sandbox.ostiary("sandbox", "up")
    assert refused.returncode == Conflict.exit_code
    assert "fix: run: ostiary sandbox reset" in refused.stderr
    status = own_sandbox.ostiary("sandbox", "status", "--json")
    assert json.loads(status.stdout) == first
    told = own_sandbox.ostiary("sandbox", "status").stdout
    assert first["okta_url"] in told
    assert f"export AWS_ENDPOINT_URL={first['aws_url']}" in told


def test_its_folder_keeps_secrets_from_others(own_sandbox):
    own_sandbox.up()
    state = own_sandbox.folder / "state"
    assert state.stat().st_mode & 0o777 == 0o700
    for name in ("sandbox.json", "aws-credentials", "server.key"):
        assert (state / name).stat().st_mode & 0o777 == 0o600, name


def test_reset_is_the_beginning_at_the_same_place(own_sandbox):
    first = own_sandbox.up()
    made = own_sandbox.api("POST", "/api/v1/groups", json=GROUP)
    assert made.status_code == 200
    done = own_sandbox.ostiary("sandbox", "reset")
    assert done.returncode == 0, done.stderr
    assert own_sandbox.up() == first
    names = {one["profile"]["name"] for one in own_sandbox.api("GET", "/api/v1/groups").json()}
    assert GROUP["profile"]["name"] not in names
    assert "platform-engineering" in names


def test_code_is_what_an_authenticator_shows(own_sandbox):
    own_sandbox.up()
    ada = own_sandbox.people["ada"]
    for login in ("ada", "ada@acme.example"):
        done = own_sandbox.ostiary("sandbox", "code", login)
        assert re.fullmatch(r"good for \d+ s, for one sign-in\n", done.stderr)
    ada.authenticator.code = done.stdout.strip
    with ada.browser() as browser:
        assert "Sign out" in ada.open(browser, own_sandbox.described["okta_url"]).text
    refused = own_sandbox.ostiary("sandbox", "code", "eve")
    assert (refused.returncode, refused.stdout) == (5, "")
    assert "nobody in the sandbox is eve" in refused.stderr


def test_down_ends_it_and_nothing_answers(own_sandbox):
    own_sandbox.up()
    done = own_sandbox.ostiary("sandbox", "down")
    assert done.returncode == 0, done.stderr
    with pytest.raises(httpx2.ConnectError):
        own_sandbox.api("GET", "/api/v1/groups")
    for verb in ("status", "reset", "down"):
        gone = own_sandbox.ostiary("sandbox", verb)
        assert gone.returncode == NotFound.exit_code
        assert "fix: run: ostiary sandbox up" in gone.stderr


def test_one_that_was_killed_is_not_running(own_sandbox):
    """What it left behind names a process id that may be another's by now: nothing is sent to it."""
    first = own_sandbox.up()
    os.kill(first["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while own_sandbox.ostiary("sandbox", "status").returncode == 0:
        assert time.monotonic() < deadline
    left = own_sandbox.folder / "state/sandbox.json"
    left.write_text(json.dumps(first | {"pid": os.getpid()}))
    assert own_sandbox.ostiary("sandbox", "down").returncode == NotFound.exit_code
    assert own_sandbox.up()["pid"] != first["pid"]
