"""What a rule bounds, bounds real sessions: from where, to which command, to files, until when, how long. All of it through a bastion."""

from __future__ import annotations

import time
from subprocess import PIPE

import pytest
from door_world import Door, Site, until

pytestmark = pytest.mark.root
SAID = "/usr/bin/printenv SSH_ORIGINAL_COMMAND"


def of(person, **bounds):
    return {"subject": f"user:{person}@acme.example", "login": True, **bounds}


RULES = [
    {"subject": "group:platform-engineering", "login": True},
    of("edgar", force_command=SAID),
    of("linus", sftp_only=True),
    of("ken", source_address=["192.0.2.0/24"]),
]
SITE = Site(
    {"bastion": "prod", "web1": "prod"},
    {"web1": "bastion"},
    {"prod": RULES},
    ("edgar", "ken", "linus"),
)


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    with Door(tmp_path_factory.mktemp("door"), SITE) as door:
        door.fill()
        door.people["ada"].until_in("web1")
        yield door


@pytest.fixture
def edgar(door):
    return door.people["edgar"]


@pytest.fixture
def ken(door):
    """Both agents have heard of him: he was put out by a test before, perhaps."""
    lines = [door[host].root / "etc/ssh/ostiary/principals/ken" for host in ("bastion", "web1")]
    until(lambda: all(one.exists() for one in lines))
    return door.people["ken"]


@pytest.fixture
def linus(door):
    return door.people["linus"]


@pytest.fixture
def changed(door):
    """``changed(rule)`` is in force instead of ken's, until the end of the test."""
    yield lambda rule: door.set_rules("prod", [*RULES[:-1], rule])
    door.set_rules("prod")


def test_from_another_network_than_the_rules_nobody_comes_in(door, ken):
    """The bastion is where it counts: what lies behind it sees the bastion's address."""
    before = {host: len(door[host].sshd_log) for host in ("bastion", "web1")}
    for host in before:
        assert ken.ssh(host, "true", check=False).returncode == 255
    at_bastion, behind = (door[host].sshd_log[length:] for host, length in before.items())
    why = "Authentication tried for ken with valid certificate but not from a permitted source"
    assert at_bastion.count(why) >= 2, at_bastion
    assert "ken" not in behind


def test_from_a_network_of_the_rule_everybody_does(ken, changed):
    changed(of("ken", source_address=["192.0.2.0/24", "10.99.0.2/32"]))
    for host in ("bastion", "web1"):
        assert ken.ssh(host, "echo in").stdout == "in\n"


def test_one_command_is_run_whatever_is_asked_for(edgar):
    assert edgar.ssh("web1", "cat /etc/hostname").stdout == "cat /etc/hostname\n"
    refused = edgar.ssh("web1", check=False)
    assert (refused.returncode, refused.stdout) == (1, ""), "printenv has nothing to print"


def test_files_only_is_files_only(linus):
    (linus.home / "there").write_text("by sftp")
    config = linus.home / ".ssh/config"
    linus.run("sftp", "-q", "-F", config, "-b", "-", "web1", stdin="put there\nget there back\n")
    assert (linus.home / "back").read_text() == "by sftp"
    refused = linus.ssh("web1", "id", check=False)
    assert refused.returncode != 0
    assert "uid=" not in refused.stdout


def test_a_rule_that_ends_lets_in_before_and_not_after_and_cuts(door, ken, changed):
    ends = time.time() + 8
    changed(of("ken", until=ends))
    config = ken.home / ".ssh/config"
    inside = ken.popen("ssh", "-F", config, "web1", "echo in; sleep 60", stdout=PIPE)
    assert inside.stdout.readline() == "in\n"
    inside.communicate(timeout=30)
    assert ends <= time.time() < ends + 12
    assert inside.returncode == 255
    for _ in range(2):
        refused = ken.ssh("web1", "true", check=False)
        assert refused.returncode == 255
        assert "cannot enter web1" in refused.stderr
        assert ken.ostiary("servers", "list").stdout == "", "and then web1 is in no list of his"


def test_a_session_ends_at_the_bound_of_its_rule(ken, changed):
    changed(of("ken", max_session=4))
    config = ken.home / ".ssh/config"
    began = time.monotonic()
    inside = ken.popen("ssh", "-F", config, "web1", "echo in; sleep 60", stdout=PIPE)
    assert inside.stdout.readline() == "in\n"
    inside.communicate(timeout=30)
    assert 4 <= time.monotonic() - began < 15
    assert inside.returncode == 255
    assert ken.ssh("web1", "echo in").stdout == "in\n", "and begins anew"
