"""Authorities are rotated to the end on two real hosts, while people go on logging in: none of them is refused."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import threading
import time
from subprocess import PIPE

import pytest
from door_proofs import Kept
from door_world import Door, Site, until

from ostiary.doors.servers.control.certificate_made import BEFORE, LIFE
from ostiary.doors.servers.control.rotation import DRAIN
from ostiary.pki import ssh_certificate, ssh_key

pytestmark = pytest.mark.root
HOSTS = ("web1", "web2")
TRUSTED, SHOWN = "/etc/ssh/ostiary/trusted-authorities", "/etc/ssh/ostiary/host-certificate.pub"
RULES = {"prod": [{"subject": "group:platform-engineering", "login": True}]}
SITE = Site(dict.fromkeys(HOSTS, "prod"), {}, RULES, ("grace",))


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    with Door(tmp_path_factory.mktemp("door"), SITE) as door:
        door.fill()
        for host in HOSTS:
            door.people["grace"].until_in(host)
        yield door


class Load:
    """Somebody who logs in to both hosts one time after the other; ``entered`` counts, ``failed`` is what ssh said."""

    def __init__(self, person):
        self.person = person
        self.entered, self.failed = dict.fromkeys(HOSTS, 0), []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._go, args=(host,)) for host in HOSTS]

    def __enter__(self):
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for one in self._threads:
            one.join()

    def _go(self, host):
        while not self._stop.is_set():
            done = self.person.ssh(host, "hostname", check=False)
            if (done.returncode, done.stdout) == (0, f"{host}\n"):
                self.entered[host] += 1
            else:
                self.failed.append((host, done.returncode, done.stderr))

    def more(self, times=3):
        """Wait until both hosts were entered so many times more."""
        wanted = {host: count + times for host, count in self.entered.items()}
        until(lambda: self.failed or all(self.entered[host] >= wanted[host] for host in HOSTS), 60)


@contextlib.contextmanager
def logging_in(door):
    """All the while, and nobody is refused; a session that was open before is so afterwards."""
    grace = door.people["grace"]
    config = grace.home / ".ssh/config"
    inside = grace.popen("ssh", "-F", config, "web1", "echo in; cat", stdin=PIPE, stdout=PIPE)
    assert inside.stdout.readline() == "in\n"
    with Load(grace) as load:
        load.more()
        yield load
        load.more()
    assert load.failed == []
    assert inside.communicate("to the end\n", timeout=10)[0] == "to the end\n"


def rotate(door, use, step, *, check=True):
    words = ("servers", "project", "rotate", "prod", "--use", use, "--step", step, "--yes")
    return door.people["ada"].ostiary(*words, check=check)


def until_done(door, use, step):
    until(lambda: rotate(door, use, step, check=False).returncode == 0, 60)


def authorities(door, use):
    """Those of the project, the oldest first: public keys by state."""
    shown = door.people["ada"].ostiary("servers", "project", "show", "prod", "--json").stdout
    found = sorted(json.loads(shown)["authorities"], key=lambda one: one["created"])
    return [(one["state"], one["public_key"]) for one in found if one["use"] == use]


def trusted(door, host):
    return set(re.findall(r"^(?:ssh-|ecdsa-)\S+ \S+", door[host].read(TRUSTED), re.MULTILINE))


def shown_by(door, host):
    """The authority of the host's certificate."""
    return ssh_certificate.parse(door[host].read(SHOWN).strip()).authority.text()


def entered_by(door, host):
    """Fingerprints of the authorities of the certificates that sshd let in, one after the other."""
    return re.findall(r"Accepted publickey .* CA \S+ (SHA256:\S+)", door[host].sshd_log)


def fingerprint(text):
    return ssh_key.parse(text).fingerprint


def age(door, seconds):
    """As if the new user authority had begun to sign so many seconds earlier: what is waited for then has gone by."""
    changed = f"UPDATE authorities SET changed = changed - {seconds}"
    with contextlib.closing(sqlite3.connect(door.folder / "control.db", timeout=10)) as database:
        done = database.execute(f"{changed} WHERE use = 'user' AND state = 'signing'")
        database.commit()
    assert done.rowcount == 1


def test_the_user_authority_is_rotated_and_what_the_former_signed_opens_nothing(door, tmp_path):
    ((_, old),) = authorities(door, "user")
    with logging_in(door) as load:
        with door.without_agent("web2"):
            rotate(door, "user", "begin")
            _, (_, new) = authorities(door, "user")
            lacks = "the new authority is not believed yet by web2 "
            until(lambda: lacks in rotate(door, "user", "sign", check=False).stderr, 30)
            assert trusted(door, "web1") == {old, new}
        kept = [Kept(door.people["grace"], tmp_path / name, "web1") for name in ("one", "two")]
        expires = time.monotonic() + LIFE - BEFORE
        until_done(door, "user", "sign")
        load.more()
        assert {entered_by(door, host)[-1] for host in HOSTS} == {fingerprint(new)}
        early = rotate(door, "user", "finish", check=False)
        assert "what the old one signed may be good for" in early.stderr
        assert kept[0].ssh(door["web1"], "echo in").stdout == "in\n", "the former is believed yet"
        age(door, DRAIN)
        until_done(door, "user", "finish")
        until(lambda: [trusted(door, host) for host in HOSTS] == [{new}] * 2, 30)
        refused = kept[1].ssh(door["web1"], "echo in")
        assert time.monotonic() < expires, "it is not its time that refuses it"
    assert (refused.returncode, refused.stdout) == (255, "")
    assert "Permission denied" in refused.stderr
    assert authorities(door, "user") == [("retired", old), ("signing", new)]


def test_the_host_authority_is_rotated_and_who_shows_the_former_is_refused(door):
    grace, web2 = door.people["grace"], door["web2"]
    ((_, old),) = authorities(door, "host")
    former = web2.read(SHOWN)
    with logging_in(door) as load:
        rotate(door, "host", "begin")
        load.more()
        rotate(door, "host", "sign")
        _, (_, new) = authorities(door, "host")
        load.more()
        until_done(door, "host", "finish")
        assert [shown_by(door, host) for host in HOSTS] == [new] * 2
        load.more()
    assert authorities(door, "host") == [("retired", old), ("signing", new)]
    with door.without_agent("web2"):
        web2.write(SHOWN, former)
        web2.start_sshd()
        refused = grace.ssh("web2", "true", check=False)
        assert refused.returncode == 255
        assert "Host key verification failed" in refused.stderr
    until(lambda: shown_by(door, "web2") == new, 30)
    until(lambda: grace.ssh("web2", "true", check=False).returncode == 0, 30)
