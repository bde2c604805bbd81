"""A project that requires a preauthorization, on real hosts: refused without, let in with it, and cut off when it is over."""

from __future__ import annotations

import time
from subprocess import PIPE

import pytest
from door_world import Door, Site, until

pytestmark = pytest.mark.root
KEN = "ken@acme.example"
WORDS = f"project prod requires a preauthorization, and {KEN} has none that is good now"
COMMAND = f"ostiary servers preauthorization create {KEN} --project prod --hours 2 --reason TEXT"
RULES = [
    {"subject": "group:platform-engineering", "login": True, "admin": True},
    {"subject": f"user:{KEN}", "login": True},
]
SITE = Site({"bastion": "prod", "web1": "prod"}, {"web1": "bastion"}, {"prod": RULES}, ("ken",))
SECONDS = 12.0  # within which a host hears of it and cuts


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    with Door(tmp_path_factory.mktemp("door"), SITE) as door:
        door.fill()
        door.people["ken"].until_in("web1")
        door.set_rules("prod", preauthorization="required")
        until(lambda: not principals(door), 30)
        yield door


@pytest.fixture
def ken(door):
    return door.people["ken"]


@pytest.fixture
def made(door):
    """``made(hours, *options)`` preauthorizes ken; its id. All are over at the end of the test."""
    ids = []

    def make(hours, *options):
        words = (KEN, "--project", "prod", "--hours", hours, "--reason", "change 4711", *options)
        ids.append(preauthorization(door, "create", *words).stdout.strip())
        return ids[-1]

    yield make
    for one in ids:
        preauthorization(door, "revoke", one, "--project", "prod", "--yes")
    until(lambda: not principals(door), 30)


def preauthorization(door, *words):
    return door.people["ada"].ostiary("servers", "preauthorization", *words)


def principals(door):
    """The accounts of both hosts that anybody enters."""
    folders = [door[host].root / "etc/ssh/ostiary/principals" for host in ("bastion", "web1")]
    return [one.name for folder in folders if folder.is_dir() for one in folder.iterdir()]


def inside(ken, host="web1"):
    """A session that is open."""
    session = ken.popen(
        "ssh", "-F", ken.home / ".ssh/config", host, "echo in; sleep 60", stdout=PIPE
    )
    assert session.stdout.readline() == "in\n"
    return session


def refused(ken, host):
    done = ken.ssh(host, "true", check=False)
    assert done.returncode == 255
    assert WORDS in done.stderr, done.stderr
    assert COMMAND in done.stderr, done.stderr


def test_without_one_nobody_comes_in_and_is_told_what_to_ask_for(door, ken):
    for host in ("web1", "bastion"):
        refused(ken, host)
    listed = ken.ostiary("servers", "list").stdout.splitlines()[1:]
    assert [line.split()[2] for line in listed] == ["needs-preauthorization"] * 2
    for host in ("web1", "bastion"):
        shell = door[host].run(["getent", "passwd", "ken"]).stdout.strip().rpartition(":")[2]
        assert shell.endswith("nologin"), "the account is closed"


def test_with_one_he_comes_in_and_is_cut_off_when_it_is_revoked(door, ken, made):
    one = made(1)
    ken.until_in("web1")
    session = inside(ken)
    began = time.monotonic()
    preauthorization(door, "revoke", one, "--project", "prod", "--yes")
    refused(ken, "web1")
    session.communicate(timeout=30)
    assert (session.returncode, time.monotonic() - began < SECONDS) == (255, True)
    refused(ken, "web1")


def test_at_its_end_he_is_out_to_the_second_and_cut_off(ken, made):
    seconds = 20.0
    before = time.time()
    made(seconds / 3600)
    ken.until_in("web1", seconds)
    session = inside(ken)
    session.communicate(timeout=40)
    assert session.returncode == 255
    assert before + seconds <= time.time() < before + seconds + SECONDS
    refused(ken, "web1")


def test_one_for_the_server_behind_lets_pass_through_the_bastion_and_not_into_it(door, ken, made):
    made(1, "--server", "web1")
    ken.until_in("web1")
    assert ken.ssh("web1", "id -un").stdout == "ken\n"
    refused(ken, "bastion")
    (line,) = (door["bastion"].root / "etc/ssh/ostiary/principals/ken").read_text().splitlines()
    assert line.endswith(".hop")
