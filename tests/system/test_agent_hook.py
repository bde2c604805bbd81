"""The session hook when things around it are broken: ours are refused, break-glass and everybody else enter."""

from __future__ import annotations

import os
import time
from subprocess import PIPE

import pytest
from host_control import Peer, Person, admin
from hosts import TOP, Fleet, wait_for
from hosts_namespace import ENV

pytestmark = pytest.mark.root
REFUSED = 254


class World:
    def __init__(self, fleet, peer, folder) -> None:
        self.host, self.peer, self.person = fleet["web1"], peer, Person(fleet, folder)
        self.host.run(["useradd", "-m", "-s", "/bin/bash", "bob"])
        self.host.start_sshd()
        self.id = peer.enroll(self.host, "--break-glass-account", "root")
        peer.state(self.id, admin(server_id=self.id))
        self.host.agent("once")
        self.host.write(
            "/home/bob/.ssh/authorized_keys", self.person.key.with_name("key.pub").read_text()
        )
        self.host.run(["chown", "-R", "bob", "/home/bob/.ssh"])

    def code(self, signer, login="alice", principal=""):
        made = self.person.certificate(signer, principal or f"{login}@{self.id}")
        return self.person.ssh(self.host, made, "true", login=login).returncode

    def codes(self):
        """How entering ends: by our certificate, by break-glass as LocalUser and as root, by a key of somebody else."""
        return (
            self.code(self.peer.user),
            self.code(self.peer.glass),
            self.code(self.peer.glass, "root"),
            self.code(self.peer.user, "bob", "nobody"),
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    with Fleet(["web1"]) as fleet, Peer(fleet, folder) as peer:
        yield World(fleet, peer, folder)


def test_everybody_enters_when_nothing_is_broken(world):
    assert world.codes() == (0, 0, 0, 0)


BREAK = {
    "the ledger cannot be written": "mount -t tmpfs -o ro none /var/lib/ostiary/ledger",
    "the ledger's disk is full": "mount -t tmpfs -o nr_inodes=1 none /var/lib/ostiary/ledger",
    "the ledger's file system is read-only": (
        "mount --bind /var/lib/ostiary /var/lib/ostiary"
        " && mount -o remount,bind,ro /var/lib/ostiary /var/lib/ostiary"
    ),
    "/run is read-only": "mount --bind /run /run && mount -o remount,bind,ro /run /run",
    "there is no ledger": "mount -t tmpfs none /var/lib/ostiary",
    "there is no interpreter": "mount --bind /dev/null /usr/bin/python3.11",
    "the hook knows no authority": "mount --bind /dev/null /etc/ssh/ostiary/one-time-authorities",
}
MOUNTED = {name: command.split()[-1] for name, command in BREAK.items()}


@pytest.mark.parametrize("what", BREAK)
def test_ours_are_refused_and_all_others_enter_where(world, what):
    world.host.run(["sh", "-c", BREAK[what]])
    try:
        assert world.codes() == (REFUSED, 0, 0, 0), world.host.sshd_log[-2000:]
    finally:
        world.host.run(["umount", MOUNTED[what]])
    assert world.code(world.peer.user) == 0


UPGRADE = """
mkdir -p /root/bin/upper /root/bin/work
mount -t overlay -o lowerdir=/usr/bin,upperdir=/root/bin/upper,workdir=/root/bin/work none /usr/bin
cd /usr/bin && cp -L python3 python3.99 && ln -sf python3.99 python3 && rm "$0"
"""


ONCE_TOLD = """
import sys
from ostiary.doors.servers.agent.__main__ import main
input()
sys.exit(main(["once"]))
"""


def test_ours_enter_where_an_upgrade_took_the_version_of_python_away(world):
    """Also once an agent has applied its state that was started by that version before, and runs on."""
    host, version = world.host, os.path.realpath("/usr/bin/python3")
    env = {"PYTHONPATH": str(TOP / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    running = host.popen([version, "-c", ONCE_TOLD], env=ENV | env, stdin=PIPE, stderr=PIPE)
    host.run(["sh", "-ec", UPGRADE, version])
    try:
        assert host.run(["ls", version], check=False).returncode
        assert world.codes() == (0, 0, 0, 0), host.sshd_log[-2000:]
        assert running.communicate("\n", timeout=60)[1] == ""
        assert world.codes() == (0, 0, 0, 0), host.sshd_log[-2000:]
    finally:
        running.kill()
        host.run(["umount", "--lazy", "/usr/bin"])  # what tells of break-glass may run yet


def test_ours_are_refused_where_the_hook_is_gone(world):
    hook = "/etc/ssh/ostiary/session-hook.py"
    world.host.run(["mv", hook, f"{hook}.away"])
    try:
        assert world.codes() == (REFUSED, 0, 0, 0)
    finally:
        world.host.run(["mv", f"{hook}.away", hook])


def test_a_run_that_is_read_only_is_told(world):
    world.host.run(["sh", "-c", BREAK["/run is read-only"]])
    try:
        said = world.host.agent("once", check=False).stderr
        assert "/run is read-only, so certificates of the project are refused" in said
        assert any("/run" in problem for problem in world.peer.reports[-1][1].problems)
    finally:
        world.host.run(["umount", "/run"])
    assert world.host.agent("once").stderr == ""
    assert world.peer.reports[-1][1].problems == ()


def test_where_the_guard_is_gone_managed_users_are_refused_and_all_others_enter(world):
    guard = "/etc/ssh/ostiary/session"
    world.host.run(["mv", guard, f"{guard}.away"])
    try:
        assert world.codes() == (REFUSED, REFUSED, 0, 0)
    finally:
        world.host.run(["mv", f"{guard}.away", guard])


def test_a_full_spool_stops_nobody_and_what_was_lost_is_told(world):
    host, spool = world.host, "/var/lib/ostiary/spool"
    host.agent("once")
    host.write(spool, "1\talice\t1.5\t192.0.2.1\taccepted\n" * 140_000, 0o600)
    size = (host.root / spool[1:]).stat().st_size
    assert (world.code(world.peer.user), world.code(world.peer.glass, "root")) == (0, 0)
    wait_for(lambda: host.read("/var/lib/ostiary/untold").split()[:1] == [f"{2:020d}"], "a count")
    assert (host.root / spool[1:]).stat().st_size == size
    host.run(["sh", "-c", f"tail -n 2 {spool} > {spool}.end && mv {spool}.end {spool}"])
    assert host.agent("once").stderr == ""
    logins = world.peer.reports[-1][1].logins
    assert [one.outcome for one in logins] == ["accepted", "accepted", "untold"]
    assert logins[-1].source == "2 logins, or tries of them, were not written down"
    assert world.code(world.peer.user) == 0
    assert host.agent("once").stderr == ""
    assert [one.outcome for one in world.peer.reports[-1][1].logins] == ["accepted"]


def test_a_disk_that_hangs_refuses_within_two_seconds(world):
    """strace holds each fsync of the hook for three seconds, uninterruptibly as far as the hook can see."""
    guard = "/etc/ssh/ostiary/session"
    text = world.host.read(guard)
    slow = "exec strace -f -o /dev/null -e inject=fsync:delay_enter=3000000 "
    world.host.write(guard, text.replace("exec ", slow), 0o755)
    try:
        began = time.monotonic()
        assert world.code(world.peer.user) == REFUSED
        assert world.code(world.peer.glass) == 0
        assert time.monotonic() - began < 7  # two logins, strace waits for the child that is held
    finally:
        world.host.write(guard, text, 0o755)


def test_variables_of_the_user_never_reach_what_runs_as_root(world):
    """pam_env reads ~/.pam_environment of a user, but only below us; at a session's end it would be above."""
    home = world.host.root / "home/alice"
    world.host.write("/home/alice/.pam_environment", "LD_PRELOAD DEFAULT=/home/alice/traced.so\n")
    made = world.person.certificate(world.peer.user, f"alice@{world.id}")
    guard = "/etc/ssh/ostiary/session"
    text = world.host.read(guard)
    world.host.write(guard, text.replace("case", "env > /tmp/seen.$$\ncase", 1), 0o755)
    try:
        said = world.person.ssh(world.host, made, "env").stdout
    finally:
        world.host.write(guard, text, 0o755)
        (home / ".pam_environment").unlink()
    assert "LD_PRELOAD=/home/alice/traced.so" in said
    (seen,) = (world.host.root / "tmp").glob("seen.*")
    assert "PAM_TYPE=open_session" in seen.read_text()
    assert "LD_PRELOAD" not in seen.read_text()


def test_the_ledger_forgets_a_day_after_expiry_and_not_before(world):
    ledger = world.host.root / "var/lib/ostiary/ledger"
    now = int(time.time())
    (ledger / "1").write_text(f"{now - 90_000}\n")
    (ledger / "2").write_text(f"{now - 80_000}\n")
    (ledger / "3").write_text("")
    world.host.agent("once")
    assert {"2", "3"} <= {one.name for one in ledger.iterdir()}
    assert not (ledger / "1").exists()


def test_a_ledger_that_was_lost_and_made_anew_lets_in_no_used_certificate(world):
    made = world.person.certificate(world.peer.user, f"alice@{world.id}")
    enter = lambda one: world.person.ssh(world.host, one, "true").returncode  # noqa: E731
    assert enter(made) == 0
    world.host.run(["rm", "-r", "/var/lib/ostiary/ledger"])
    assert enter(made) == REFUSED
    world.host.agent("once")
    try:
        assert enter(made) == REFUSED
        late = {"valid_before": int(time.time()) + 200}
        signed = world.person.certificate(world.peer.user, f"alice@{world.id}", **late)
        assert enter(signed) == 0
        assert world.code(world.peer.glass, "root") == 0
    finally:
        world.host.write("/var/lib/ostiary/ledger/floor", "0\n", 0o600)


def test_a_group_that_pam_cannot_read_lets_nobody_in_uncounted(world):
    """sshd takes them for managed users, and PAM for others: it would jump over the hook."""
    group = world.host.read("/etc/group")
    more = ",".join(f"somebody{number:05d}" for number in range(12_000))
    lines = [
        f"{line},{more}" if line.startswith("ostiary-managed:") else line
        for line in group.splitlines()
    ]
    world.host.write("/etc/group", "\n".join(lines) + "\n")
    try:
        said = world.host.agent("once", check=False).stderr
        assert "group ostiary-managed: it is longer than PAM can read, so nobody enters" in said
        assert world.codes() == (255, 255, 0, 0)
    finally:
        world.host.write("/etc/group", group)
        world.peer.state(world.id, admin(server_id=world.id))
        assert world.host.agent("once").stderr == ""
    assert world.code(world.peer.user) == 0


def test_the_hook_is_quick(world, record_property):
    """Nothing else of a login is ours; the figure is printed with -rP."""
    host = world.host
    made = world.person.certificate(world.peer.user, f"alice@{world.id}").read_text()
    times = []
    for number in range(8):
        text = f"publickey {made}"
        begin = time.perf_counter()
        env = {"PAM_TYPE": "open_session", "SSH_AUTH_INFO_0": text}
        done = host.run(["/etc/ssh/ostiary/session"], env=env, check=False)
        times.append(time.perf_counter() - begin)
        assert done.returncode == (1 if number else 0)
    record_property("milliseconds", round(sorted(times)[4] * 1000, 1))
    assert sorted(times)[4] < 0.5
