"""What the agent believes, what it refuses, and what it keeps doing when nobody answers. G1, G2, G5, G9 of the promises."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time

import pytest
from host_control import Peer, Person, user
from hosts import PYTHON, TOP, Fleet, wait_for

from ostiary.doors.servers.wire.message import encode

pytestmark = pytest.mark.root
STATE = "/var/lib/ostiary/state.json"


class World:
    def __init__(self, fleet, peer, folder) -> None:
        self.fleet, self.host, self.peer = fleet, fleet["web1"], peer
        self.person = Person(fleet, folder)
        self.host.start_sshd()
        self.id = peer.enroll(self.host)
        self.whole = [user(f"user{n}", 60001 + n, server_id=self.id) for n in range(15)]
        self.say(*self.whole)
        self.once()

    def say(self, *users, **changes):
        return self.peer.state(self.id, *users, **changes)

    def once(self, *options):
        return self.host.agent("once", *options, check=False)

    def logins(self):
        """Who has a principals file and may be entered, and who has an account that is open."""
        principals = self.host.root / "etc/ssh/ostiary/principals"
        names = {one.name for one in principals.iterdir()}
        shadow = self.host.read("/etc/shadow").splitlines()
        expired = {line.split(":")[0] for line in shadow if line.split(":")[7] == "1"}
        return {name for name in names if name not in expired}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    with Fleet(["web1"]) as fleet, Peer(fleet, folder) as peer:
        yield World(fleet, peer, folder)


@pytest.fixture
def world(built):
    """Everybody is there, before and after."""
    built.say(*built.whole)
    if len(built.logins()) != 15 or not (built.host.root / STATE[1:]).exists():
        done = built.once()
        assert (done.returncode, done.stderr) == (0, "")
    assert len(built.logins()) == 15
    built.peer.reports.clear()
    return built


NO_STATES = {
    "empty list": b"[]",
    "HTML": b"<html><body>captive portal</body></html>",
    "nothing": b"",
    "half of one": None,
    "another version": b'{"v":2}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("name", NO_STATES)
def test_g2_what_is_no_state_changes_nothing(world, name):
    good = world.say()
    world.peer.says[world.id] = NO_STATES[name] or encode(good)[:-40]
    if name == "nothing":
        world.peer.says[world.id] = b" "
    done = world.once()
    assert done.returncode == 1
    assert "is no state" in done.stderr
    assert len(world.logins()) == 15
    assert "is no state" in world.peer.reports[-1][1].problems[-1]
    world.peer.says[world.id] = good


def test_g2_an_older_generation_is_refused_until_an_administrator_accepts_it(world):
    world.once()
    generation = world.peer.says[world.id].generation
    older = world.say(*world.whole[:10], generation=generation - 1)
    done = world.once()
    assert "older than" in done.stderr
    assert "--accept-older" in done.stderr
    assert len(world.logins()) == 15
    assert world.once("--accept-older").returncode == 0
    assert world.logins() == {one.login for one in older.users}


def test_g2_many_at_once_go_only_when_it_is_said_again_a_minute_later(world):
    world.say(*world.whole[:4])  # 11 of 15
    for _ in range(2):
        done = world.once()
        assert "11 of 15 users would go at once" in done.stderr
        assert len(world.logins()) == 15
    pending = world.host.root / "var/lib/ostiary/pending.json"
    said = json.loads(pending.read_text())
    earlier = {login: at - 61 for login, at in said["since"].items()}
    pending.write_text(json.dumps({"since": earlier}))
    world.say(*world.whole[:3])  # one more goes meanwhile
    assert world.once().returncode == 0
    assert len(world.logins()) == 3


def test_g2_a_few_go_at_once(world):
    world.say(*world.whole[:5])
    assert world.once().returncode == 0
    assert len(world.logins()) == 5


def test_break_glass_is_not_taken_away(world):
    before = world.host.read("/etc/ssh/ostiary/break-glass-authorities")
    last = world.peer.says[world.id]
    world.peer.state(world.id, *last.users, break_glass=())
    done = world.host.agent("once", check=False)
    assert "sent no break-glass authority" in done.stderr
    assert world.host.read("/etc/ssh/ostiary/break-glass-authorities") == before
    world.peer.state(world.id, *last.users)


def test_another_servers_state_is_refused(world):
    world.say(server_id="srv_other")
    assert "srv_other" in world.once().stderr
    assert len(world.logins()) == 15


@pytest.mark.parametrize("what", ["authorities", "break_glass"])
def test_an_authority_that_is_a_certificate_is_refused(world, what):
    """Negative 5: a CA key is never a certificate (CVE-2025-49825)."""
    trusted = world.host.read("/etc/ssh/ostiary/trusted-authorities")
    made = world.person.certificate(world.peer.user, "x").read_text().strip()
    world.say(*world.whole, **{what: (made,)})
    assert "is no public key of an authority" in world.once().stderr
    assert world.host.read("/etc/ssh/ostiary/trusted-authorities") == trusted


def test_a_user_certificate_is_no_host_certificate(world):
    """Negative 6, the other way round; nor is one for another key, or expired."""
    before = world.host.read("/etc/ssh/ostiary/host-certificate.pub")
    made = world.person.certificate(world.peer.user, world.id).read_text()
    world.say(*world.whole, host_certificate=made)
    assert "not for this host's key" in world.once().stderr
    assert world.host.read("/etc/ssh/ostiary/host-certificate.pub") == before


def _flipped(body: bytes) -> bytes:
    return body.replace(b"user7", b"user8")


def _future(body: bytes) -> bytes:
    text = body.partition(b"\n")[2].replace(b'{"v":1', b'{"v":9')
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


DAMAGE = {"empty": lambda _: b"", "cut": lambda body: body[:-9], "flipped": _flipped,
          "of a later agent": _future, "owned by another": None, "writable by all": None,
          "dated tomorrow": None}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_g5_a_state_file_that_cannot_be_trusted_is_put_aside_and_rebuilt(world, what):
    path = world.host.root / STATE[1:]
    change = DAMAGE[what]
    if change:
        path.write_bytes(change(path.read_bytes()))
    elif what == "owned by another":
        os.chown(path, 60001, 60001)
    elif what == "writable by all":
        path.chmod(0o666)
    else:
        os.utime(path, (time.time() + 200_000,) * 2)
    foreign = world.host.read("/etc/passwd").splitlines()[0]
    world.fleet.cut(world.host)
    assert world.once().returncode == 1  # nobody answers: nothing is known, nothing changes
    world.fleet.cut(world.host, off=False)
    assert len(world.logins()) == 15
    assert world.once().returncode == 0
    assert len(world.logins()) == 15
    assert world.host.read("/etc/passwd").splitlines()[0] == foreign
    bad = list((world.host.root / "var/lib/ostiary").glob("state.json.bad-*"))
    assert bad
    assert world.host.agent("status").stdout.count("user") >= 15
    for one in bad:
        one.unlink()


def test_g5_without_a_state_file_the_cap_still_counts_who_is_there(world):
    (world.host.root / STATE[1:]).unlink()
    world.say()
    assert "15 of 15 users would go at once" in world.once().stderr
    assert len(world.logins()) == 15


@contextlib.contextmanager
def running(host, *before):
    """The agent in the foreground, as the service runs it."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(TOP / "src")}
    argv = [*before, PYTHON, "-m", "ostiary.doors.servers.agent", "run"]
    with (host.root / "tmp/agent.log").open("w") as log:
        process = host.popen(argv, env={**env, "PYTHONDONTWRITEBYTECODE": "1"}, stderr=log)
        try:
            yield process
        finally:
            host.run(["pkill", "-TERM", "-f", "servers.agent run"], check=False)
            assert process.wait(10) == 0


def test_the_service_follows_within_seconds_and_ends_at_once(world):
    with running(world.host):
        wait_for(lambda: any("wait=25" in one for one in world.peer.asked[-3:]), "the long poll")
        time.sleep(0.2)
        world.say(*world.whole[:9])
        began = time.monotonic()
        wait_for(lambda: len(world.logins()) == 9, "the removal")
        assert time.monotonic() - began < 5
        wait_for(lambda: world.peer.reports, "the report")
        asked = len(world.peer.asked)
        time.sleep(0.5)
        assert len(world.peer.asked) <= asked + 4  # no busy loop
        began = time.monotonic()
    assert time.monotonic() - began < 3


def test_g1_a_partition_changes_nothing_and_the_agent_comes_back_with_jitter(world):
    """Cable cut, name gone, another name in the certificate: nobody is removed or widened."""
    host, hosts = world.host, world.host.read("/etc/hosts")
    log = host.root / "tmp/agent.log"
    world.say(*world.whole[:9])
    world.fleet.cut(host)
    (host.root / "etc/ssh/ostiary/principals/user14").unlink()
    with running(host):
        wait_for(lambda: "no answer" in log.read_text(), "the first failure")
        assert len(world.logins()) == 15  # the last good state, made good
        host.write("/etc/hosts", hosts.replace("control", "elsewhere"))
        world.fleet.cut(host, off=False)
        wait_for(lambda: "name resolution" in log.read_text(), "no name")
        host.write("/etc/hosts", hosts.replace("10.99.0.1 control", "10.99.0.11 control"))
        wait_for(lambda: "refused" in log.read_text(), "no server")
        assert len(world.logins()) == 15
        host.write("/etc/hosts", hosts)
        wait_for(lambda: len(world.logins()) == 9, "the agent to come back", 15)


def test_g1_enrolment_fails_closed(world):
    """Wrong name in the certificate, no answer, refused: nothing is kept."""
    fleet, host = world.fleet, world.host
    identity = host.root / "var/lib/ostiary/identity.json"
    trusted = identity.with_name("control-ca.pem")
    kept, authority = identity.read_text(), trusted.read_text()
    identity.unlink()
    host.write("/root/ca.pem", world.peer.ca_file.read_text())

    def enrol(url, token):
        argv = ["enroll", "--token-file", "-", "--ca-file", "/root/ca.pem", "--url", url]
        return host.agent(*argv, stdin=token, check=False).stderr

    try:
        address = f"https://{fleet['web1'].address}:1"
        assert "no answer" in enrol(address, "a-token")
        host.write("/etc/hosts", host.read("/etc/hosts") + "10.99.0.1 other\n")
        assert "certificate" in enrol(world.peer.url.replace("control", "other"), "a-token")
        assert "unknown or used up" in enrol(world.peer.url, "another-token")
        assert "not encrypted" in enrol(world.peer.url.replace("https", "http"), "a-token")
        assert not identity.exists()
        assert not trusted.exists()
    finally:
        identity.write_text(kept)
        trusted.write_text(authority)


@pytest.mark.parametrize("off", [-300, 61, 300])
def test_g9_a_clock_that_is_off_refuses_to_enrol_and_says_by_how_much(world, off):
    identity = world.host.root / "var/lib/ostiary/identity.json"
    kept = identity.read_text()
    identity.unlink()
    world.peer.clock = -off
    try:
        argv = ["enroll", "--token-file", "-", "--ca-file", "/root/ca.pem", "--url", world.peer.url]
        done = world.host.agent(*argv, stdin="a-token", check=False)
    finally:
        world.peer.clock = 0.0
        identity.write_text(kept)
    assert done.returncode == 1
    assert "clock" in done.stderr
    assert f"{off:+d} s" in done.stderr
    assert "timedatectl" in done.stderr


def test_g9_the_report_carries_the_hosts_time(world):
    world.say(*world.whole[:14])
    world.once()
    assert abs(world.peer.reports[-1][1].time - time.time()) < 5
