"""The server door over each database that ``ostiary serve`` knows: signed in, let in, once, there alone, written down, put out."""

from __future__ import annotations

import contextlib
import re
import time
from subprocess import PIPE

import pytest
from door_proofs import Kept, rows
from door_world import Door, Site
from postgres_world import new_database, running

pytestmark = pytest.mark.root
RULES = {"prod": [{"subject": "group:sre", "login": True}]}
SITE = Site({"web1": "prod", "web2": "prod"}, {}, RULES, ("grace", "ken"))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def door(request, tmp_path_factory):
    with contextlib.ExitStack() as ending:
        database = ""
        if request.param == "postgresql":
            database = ending.enter_context(new_database(ending.enter_context(running())))
        door = ending.enter_context(Door(tmp_path_factory.mktemp("door"), SITE, database))
        door.fill()
        for name in ("grace", "ken"):
            door.people[name].until_in("web1")
        yield door


@pytest.fixture
def grace(door):
    return door.people["grace"]


def test_a_person_enters_and_the_serial_is_in_the_audit(door, grace):
    assert grace.ssh("web1", "id -un; hostname").stdout == "grace\nweb1\n"
    accepted = re.findall(r"Accepted publickey .*\(serial (\d+)\)", door["web1"].sshd_log)
    issued = [one["serial"] for one in rows(door, server=door.ids["web1"], purpose="login")]
    assert accepted
    assert set(accepted) <= set(issued)
    assert len(set(issued)) == len(issued)


def test_a_certificate_is_good_once(door, grace, tmp_path):
    kept = Kept(grace, tmp_path / "key", "web1")
    assert kept.ssh(door["web1"], "echo in").stdout == "in\n"
    again = kept.ssh(door["web1"], "echo in")
    assert (again.returncode, again.stdout) == (254, "")
    assert kept.ssh(door["web1"], "-N", "-L", "0:127.0.0.1:22").returncode != 0


def test_a_certificate_is_good_on_its_own_server_only(door, grace, tmp_path):
    kept = Kept(grace, tmp_path / "key", "web1")
    refused = kept.ssh(door["web2"], "true")
    assert (refused.returncode, "Permission denied" in refused.stderr) == (255, True)
    assert kept.ssh(door["web1"], "echo in").stdout == "in\n", "it was not used up there"


def test_somebody_put_out_at_okta_is_out_within_seconds(door):
    """Ken has a session open; an administrator of the org deactivates him."""
    ken = door.people["ken"]
    config = ken.home / ".ssh/config"
    inside = ken.popen("ssh", "-F", config, "web1", "echo in; sleep 60", stdout=PIPE)
    assert inside.stdout.readline() == "in\n"
    (user,) = door.okta("GET", "/api/v1/users?q=ken")
    began = time.monotonic()
    door.okta("POST", f"/api/v1/users/{user['id']}/lifecycle/deactivate")
    inside.communicate(timeout=30)
    ended = time.monotonic() - began
    assert inside.returncode == 255
    refused = ken.ssh("web1", "true", check=False)
    assert refused.returncode == 255
    assert "fix: run: ostiary login" in refused.stderr
    assert "ken" in door["web1"].read("/etc/shadow")
    assert ended < 15, f"the session was cut after {ended:.0f} s"
