"""Accounts by the agent itself, with real logins by certificate: who is removed is cut off, other ways close, break-glass stays."""

from __future__ import annotations

import time

import pytest
from accounts_world import ENV as PATHS
from host_control import Peer, Person, admin, user
from hosts import ENV, PYTHON, Fleet, wait_for
from slowed import slowed

from ostiary.doors.servers.wire.host import Entry

pytestmark = pytest.mark.root
DENIED = 255
RUN = [PYTHON, "-m", "ostiary.doors.servers.agent", "run"]


class World:
    def __init__(self, fleet, peer, folder) -> None:
        self.host, self.peer, self.person = fleet["web1"], peer, Person(fleet, folder)
        self.host.run(["useradd", "-m", "-s", "/bin/bash", "bob"])
        public = self.person.key.with_name("key.pub").read_text()
        for home, owner in (("/root", "root"), ("/home/bob", "bob")):
            self.host.write(f"{home}/.ssh/authorized_keys", public, 0o600)
            self.host.run(["chown", "-R", owner, f"{home}/.ssh"])
        self.host.start_sshd()
        self.id = peer.enroll(self.host, "--break-glass-account", "root")
        self.state(admin(server_id=self.id), user("carol", 60002, self.id))

    def state(self, *users, **changes):
        self.peer.state(self.id, *users, **changes)
        self.host.agent("once", check=False)

    def certificate(self, login="alice", signer=None):
        return self.person.certificate(signer or self.peer.user, f"{login}@{self.id}")

    def enters(self, login="alice", signer=None):
        made = self.certificate(login, signer)
        return self.person.ssh(self.host, made, "true", login=login).returncode

    def by_key(self, login):
        made = self.person.certificate(self.peer.user, "nobody")
        return self.person.ssh(self.host, made, "true", login=login).returncode

    def start(self, script, login="alice"):
        options = self.person.options(self.certificate(login))
        return self.person.fleet.client.popen([*options, f"{login}@{self.host.address}", script])

    def session(self):
        """A running one: of a shell, a child that left it, and a child of root's by sudo where the rules give one."""
        script = "setsid sleep 987 & sudo -n sleep 988 & exec sleep 989"
        running = self.start(script)
        wait_for(lambda: self.sleeping(989), "the session")
        return running

    def sleeping(self, seconds):
        found = self.host.run(
            ["pgrep", "--runstates", "RSD", "-f", f"^sleep {seconds}"], check=False
        )
        return found.stdout


@pytest.fixture
def world(tmp_path):
    with Fleet(["web1"]) as fleet, Peer(fleet, tmp_path) as peer:
        yield World(fleet, peer, tmp_path)


def test_who_is_removed_is_cut_off_with_all_that_runs_and_no_certificate_lets_them_in(world):
    running, unused = world.session(), world.certificate()
    began = time.monotonic()
    world.state(user("carol", 60002, world.id))
    assert running.wait(30) != 0
    assert time.monotonic() - began < 5 * slowed()
    assert [world.sleeping(one) for one in (987, 988, 989)] == ["", "", ""]
    assert world.person.ssh(world.host, unused, "true").returncode == DENIED
    assert world.enters() == DENIED
    assert world.enters(signer=world.peer.glass) == DENIED
    assert world.enters("carol") == 0
    world.state(admin(server_id=world.id))
    assert world.enters() == 0


ONLY = {
    "sftp": lambda me: Entry(f"alice@{me}", sftp_only=True),
    "hop": lambda me: Entry(f"alice@{me}.hop", hop=True, forward=("10.0.0.1:22",)),
}


@pytest.mark.parametrize("only", ONLY)
def test_who_may_have_no_shell_any_more_has_none_of_before(world, only):
    """Whatever the shell left running, or for later, would be one still; a unit of systemd's of the user's too."""
    me, jobs = world.id, "/var/spool/cron/crontabs/alice"
    unit, mark = (
        "/etc/systemd/system/user@.service.d/00-ostiary.conf",
        "/var/lib/ostiary/confined/60001",
    )
    session = world.session()
    world.host.write(jobs, "* * * * * touch /tmp/cron\n", 0o600)
    unused = world.certificate()
    world.state(user(entries=(ONLY[only](me),)), user("carol", 60002, me))
    assert session.wait(10)
    assert not any(world.sleeping(seconds) for seconds in (987, 988, 989))
    assert not (world.host.root / jobs[1:]).exists()
    assert "ConditionPathExists=!/var/lib/ostiary/confined/%i\n" in world.host.read(unit)
    assert (world.host.root / mark[1:]).exists()
    done = world.person.ssh(world.host, unused, "id", stdin="")
    assert "uid=" not in done.stdout
    assert done.returncode
    again = world.host.agent("once", check=False)
    assert again.stderr == ""
    world.state(admin(server_id=me), user("carol", 60002, me))
    assert not (world.host.root / unit[1:]).parent.exists()
    assert not (world.host.root / mark[1:]).exists()
    assert world.enters() == 0
    world.host.run(["rm", "-rf", "/var/lib/ostiary/removed"])


def test_other_ways_are_closed_after_a_certificate_let_somebody_in_and_break_glass_is_not(world):
    alice, glass = admin(server_id=world.id), world.peer.glass
    world.state(alice, other_ways="close")
    assert (world.by_key("bob"), world.by_key("root")) == (0, 0)
    assert any("stay open" in one for one in world.peer.reports[-1][1].problems)
    assert any(one.startswith("key  bob") for one in world.peer.reports[-1][1].other_ways)
    assert world.enters() == 0
    world.state(alice, other_ways="close")
    assert (world.by_key("bob"), world.by_key("root")) == (DENIED, DENIED)
    assert not [one for one in world.peer.reports[-1][1].other_ways if one.startswith("key")]
    assert world.enters() == 0
    assert (world.enters(signer=glass), world.enters("root", glass)) == (0, 0)
    world.state(alice, other_ways="report")
    assert (world.by_key("bob"), world.by_key("root")) == (0, 0)
    assert (world.enters(), world.enters("root", glass)) == (0, 0)


def test_a_session_ends_at_its_bound_while_others_go_on(world):
    world.state(admin(server_id=world.id, max_session=3), user("carol", 60002, world.id))
    agent = world.host.popen(RUN, env={**ENV, **PATHS})
    try:
        carol = world.start("exec sleep 990", "carol")
        running = world.session()
        assert running.wait(15) != 0
        wait_for(lambda: not world.sleeping(988), "the end of what sudo ran")
        assert carol.poll() is None
        assert world.enters() == 0
    finally:
        world.host.run(["pkill", "-f", "sleep 9"], check=False)
        world.host.run(["pkill", "-f", "servers.agent run"], check=False)
        carol.wait(10)
        agent.wait(30)
