"""The group of managed users: a host that goes by its former name is moved over while people log in, and a service account
that is called as the group was is nobody of ours.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time

import pytest
from host_control import Peer
from hosts import TOP, Fleet, wait_for
from test_agent_sshd import DROP_IN, MAIN, PAM, World

pytestmark = pytest.mark.root
OLD = "/root/old"  # an agent that calls the group as it was called before
PARTS = ("doors/servers/agent", "doors/servers/wire")
NAMED = re.compile(r'^MANAGED = .*\nFORMER = "ostiary"', re.MULTILINE)


class Moving(World):
    """A host that an older agent set up."""

    def install_old(self):
        package = TOP / "src/ostiary"
        files = [one for part in PARTS for one in (package / part).glob("*.py")]
        files += [package / name / "__init__.py" for name in (".", "doors", "doors/servers")]
        for file in files:
            text = file.read_text()
            if file.name == "files.py":
                text, changed = NAMED.subn('MANAGED = "ostiary"\nFORMER = "never"', text)
                assert changed == 1
            self.host.write(f"{OLD}/ostiary/{file.relative_to(package)}", text)

    def old(self):
        done = self.host.agent("once", env={"PYTHONPATH": OLD}, check=False)
        assert done.returncode == 0, done.stderr
        assert "Match Group ostiary\n" in self.held(DROP_IN)
        assert "ingroup ostiary\n" in self.held(PAM)

    def in_force(self):
        return json.loads(self.host.agent("status", "--json").stdout)["in_force"]

    def groups(self, login="alice"):
        return set(self.host.run(["id", "-nG", login]).stdout.split()) - {login}

    def begin_anew(self):
        """sshd reads its files. While it begins anew it is deaf to the signal, so it is told until it has heard."""
        wait_for(self._listens, "sshd")
        heard = self.host.sshd_log.count("Received SIGHUP")

        def told():
            self.host.run(["kill", "-HUP", self.host.read("/run/sshd.pid").strip()])
            time.sleep(0.2)
            return self.host.sshd_log.count("Received SIGHUP") > heard

        wait_for(told, "sshd that was told")
        wait_for(self._listens, "sshd anew")

    def _listens(self):
        """Since it began anew; then there is the file of its number, too."""
        log, file = self.host.sshd_log, self.host.root / "run/sshd.pid"
        return log.rfind("Server listening on") > log.rfind("Received SIGHUP") and file.exists()

    def while_passes(self):
        """As if a quarter of an hour had gone by since sshd and PAM were told anything."""
        for name in (DROP_IN, MAIN, PAM):
            long_ago = time.time() - 900
            os.utime(self.host.root / name[1:], (long_ago, long_ago))

    def counts(self):
        """Whether a certificate enters once, and not again."""
        made = self.person.certificate(self.peer.user, f"alice@{self.id}")
        codes = [
            self.person.ssh(self.host, made, "true", login="alice").returncode for _ in range(2)
        ]
        return codes[0] == 0 and codes[1] != 0

    def before(self):
        super().before()
        for name in ("ostiary", "ostiary-managed"):
            self.host.run(["userdel", "-f", name], check=False)
            self.host.run(["groupdel", "-f", name], check=False)


class Logins:
    """Somebody who logs in again and again, in a ``with``; ``refused`` are those that failed."""

    def __init__(self, world):
        self.world, self.entered, self.refused = world, 0, []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def more(self, times=2):
        wanted = self.entered + times
        wait_for(lambda: self.refused or self.entered >= wanted, "a login", 30)

    def _run(self):
        while not self._stop.is_set():
            made = self.world.person.certificate(self.world.peer.user, f"alice@{self.world.id}")
            done = self.world.person.ssh(self.world.host, made, "true", login="alice")
            self.entered += done.returncode == 0
            # sshd that is told to read its files again closes its port for some milliseconds
            if done.returncode and "Connection refused" not in done.stderr:
                self.refused.append(done.stderr)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    with Fleet(["web1"]) as fleet, Peer(fleet, folder) as peer:
        world = Moving(fleet, peer, folder)
        world.install_old()
        yield world


@pytest.fixture
def world(built):
    built.enroll()
    yield built
    built.before()


def test_a_host_is_moved_over_while_people_log_in(world):
    world.old()
    assert world.in_force()  # the new agent believes what the older one set up
    with Logins(world) as logins:
        logins.more()
        done = world.once()
        logins.more()
    assert done.returncode == 0, done.stderr
    assert logins.refused == []
    assert logins.entered > 3
    assert "Match Group ostiary-managed\n" in world.held(DROP_IN)
    assert "ingroup ostiary-managed\n" in world.held(PAM)
    assert world.groups() == {"ostiary", "ostiary-managed"}, "who was under way goes by the former"
    assert world.counts()
    assert world.once().returncode == 0
    assert world.groups() == {"ostiary", "ostiary-managed"}
    world.while_passes()
    with Logins(world) as logins:
        assert world.once().returncode == 0
    assert logins.refused == []
    assert world.groups() == {"ostiary-managed"}
    assert world.host.run(["getent", "group", "ostiary"], check=False).returncode != 0
    assert world.counts()
    assert world.in_force()


@pytest.mark.parametrize("whose", ["the agent's", "an operator's"])
def test_a_host_without_anybody_is_moved_over_too(world, whose):
    """Nothing but what the older agent wrote shows whose a group without members is."""
    world.host.run(["sh", "-c", "userdel -r alice; rm -f /var/lib/ostiary/owned.json"], check=False)
    world.peer.state(world.id)
    done = world.host.agent("once", env={"PYTHONPATH": OLD}, check=False)
    assert done.returncode == 0, done.stderr
    assert "Match Group ostiary\n" in world.held(DROP_IN)
    assert world.once().returncode == 0
    assert "Match Group ostiary-managed\n" in world.held(DROP_IN)
    if whose == "an operator's":
        world.host.run(["groupmod", "-g", "777", "ostiary"])
    world.while_passes()
    assert world.once().returncode == 0
    there = world.host.run(["getent", "group", "ostiary"], check=False).returncode == 0
    assert there == (whose == "an operator's")


@pytest.mark.parametrize("killed", ["before sshd", "before PAM"])
def test_a_kill_on_the_way_leaves_everybody_in_and_counted(world, killed):
    world.old()
    former = {name: world.held(name) for name in (DROP_IN, PAM)}
    assert world.once().returncode == 0
    world.host.write(PAM, former[PAM])
    if killed == "before sshd":
        world.host.write(DROP_IN, former[DROP_IN])
        world.begin_anew()
    assert world.in_force()
    assert world.counts()
    assert world.once().returncode == 0
    assert "ingroup ostiary-managed\n" in world.held(PAM)
    assert "Match Group ostiary-managed\n" in world.held(DROP_IN)
    assert world.counts()


def test_files_of_before_that_come_back_later_let_nobody_in_uncounted(world):
    world.old()
    former = world.held(PAM)
    assert world.once().returncode == 0
    world.while_passes()
    assert world.once().returncode == 0
    world.host.write(PAM, former)
    assert not world.in_force()
    assert world.once().returncode == 0
    assert world.in_force()
    assert world.counts()


def test_a_service_account_of_that_name_is_freed_of_our_rules(world):
    world.host.run(["useradd", "--system", "--user-group", "-s", "/bin/sh", "ostiary"])
    world.old()
    assert "authorizedkeysfile none" in world.effective("ostiary")
    assert world.once().returncode == 0
    assert "authorizedkeysfile none" not in world.effective("ostiary")
    world.while_passes()
    assert world.once().returncode == 0
    assert world.host.run(["id", "-nG", "ostiary"]).stdout.split() == ["ostiary"]
    assert world.groups() == {"ostiary-managed"}
    assert world.counts()


def test_a_new_host_leaves_a_service_account_of_that_name_alone(world):
    world.host.run(["useradd", "--system", "--user-group", "-s", "/bin/sh", "ostiary"])
    before = world.effective("ostiary")
    assert world.once().returncode == 0
    changed = set(world.effective("ostiary").splitlines()) ^ set(before.splitlines())
    assert {line.split()[0] for line in changed} == {
        "trustedusercakeys", "authorizedprincipalsfile", "hostcertificate", "loglevel"
    }  # fmt: skip
    assert world.groups() == {"ostiary-managed"}
    assert world.host.run(["getent", "group", "ostiary"]).stdout.endswith(":\n")
    assert world.counts()


def test_who_leaves_on_the_way_is_gone(world):
    world.old()
    assert world.once().returncode == 0
    assert world.host.agent("remove").returncode == 0
    assert world.held(DROP_IN) is None
    assert world.held(PAM) == world.pam
    assert not world.enters()
