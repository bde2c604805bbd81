"""Kills, full disks and errors between every two steps: files always parse, foreign lines stay, the next run repairs (G3, G4)."""

from __future__ import annotations

import pytest
from accounts_world import APPLYING, ENV, FULL, OWNED, apply, lines_of, sound, text
from hosts import Fleet

from ostiary.doors.servers.wire.host import HostGroup, HostUser, SudoRule

pytestmark = pytest.mark.root

DEV = HostGroup("dev", 63100)
ALICE = HostUser("alice", 60001, 63001, "A", groups=("dev",), sudo=(SudoRule("r", ("/bin/ls",)),))
BOB = HostUser("bob", 60002, 63002, "B")
CAROL = HostUser("carol", 60003, 63003, "C", sudo=(SudoRule("r", ("ALL",)),))
OURS = ("alice", "bob", "carol", "dev", "ostiary-managed")
FILES = ("passwd", "shadow", "group", "gshadow")
# What useradd, groupadd, usermod and the agent write with; how often at most, seen with strace -c.
CALLS = {"write": 13, "rename": 6, "link": 6, "unlink": 12, "fsync": 8, "mkdirat": 1, "fchown": 8}
# Between two files of useradd ours may be in one and not yet in the other; these are no damage to what is read.
HALVES = ("no matching", "add user", "add group", "no changes", "not in /etc/gshadow")
# Undone for the next round, without starting another host.
CLEAN = """
for one in alice bob carol; do userdel -f $one; groupdel $one; done; groupdel dev; groupdel ostiary-managed
rm -rf /var/lib/ostiary /home/* /etc/*.lock /etc/sudoers.d/ostiary-* /run/strace
"""


@pytest.fixture
def host():
    with Fleet(["web1"]) as fleet:
        yield fleet["web1"]


def foreign(host):
    return {name: lines_of(host, name, *OURS) for name in FILES}


def unsound(host):
    """What the checks complain of beyond halves of ours."""
    lines = [line for line in sound(host).splitlines() if line.strip()]
    return [line for line in lines if not any(part in line for part in HALVES)]


@pytest.mark.chaos
@pytest.mark.parametrize("call", CALLS)
def test_a_kill_at_any_step_leaves_files_that_parse_and_the_next_run_repairs(host, call):
    """G4 and negative test 18: the agent and every program that it starts are killed at their n-th call."""
    host.run(["useradd", "-m", "-u", "1500", "dave"])
    before, killed = foreign(host), 0
    last = CALLS[call]
    for nth in range(1, last + 1) if FULL else sorted({max(1, last // 3), max(1, last * 2 // 3)}):
        apply(host, [CAROL])
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={nth}"]
        strace = ["strace", "-f", "-qq", "-o", "/run/strace", *inject]
        host.run([*strace, *APPLYING], stdin=text([ALICE, BOB], [DEV]), env=ENV, check=False)
        killed += "killed by SIGKILL" in host.read("/run/strace")
        assert unsound(host) == []
        assert foreign(host) == before
        assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
        assert sound(host) == ""
        assert foreign(host) == before
        shadow = host.run(["getent", "shadow", "carol"]).stdout.split(":")
        assert (shadow[1][0], shadow[7]) == ("!", "1")
        host.run(["sh", "-c", CLEAN], check=False)
    assert killed


@pytest.mark.chaos
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_disk_that_fails_leaves_files_that_parse(host, call, error):
    """G3, injected into the agent and every program that it starts, except what is said on stdout."""
    apply(host, [CAROL])
    before = foreign(host)
    for nth in ("1+", "2+", "3+", "5+") if FULL else ("1+", "3+"):
        path = ["-P", "/etc", "-P", "/var/lib/ostiary"] if call == "rename" else []
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={nth}"]
        strace = ["strace", "-f", "-qq", "-o", "/run/strace", *path, *inject]
        host.run([*strace, *APPLYING], stdin=text([ALICE, BOB], [DEV]), env=ENV, check=False)
        assert unsound(host) == []
        assert foreign(host) == before
    assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
    assert sound(host) == ""


def test_a_read_only_etc_keeps_in_who_is_there_and_tells(host):
    apply(host, [ALICE], [DEV])
    host.run(["mount", "-o", "bind", "/etc", "/etc"])
    host.run(["mount", "-o", "remount,bind,ro", "/etc"])
    entering, problems = apply(host, [ALICE, BOB], [DEV])
    assert entering == ["alice"]
    assert any("Read-only file system" in one or "cannot" in one for one in problems)
    entering, problems = apply(host, [])
    assert entering == []
    assert problems
    host.run(["umount", "/etc"])
    assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
    assert sound(host) == ""


def test_a_full_disk_for_real_leaves_files_that_parse(host):
    """/etc on a file system of its own that has room for nothing more."""
    host.run(
        [
            "sh",
            "-c",
            "mkdir /tmp/e && mount -t tmpfs -o size=24m t /tmp/e && cp -a /etc/. /tmp/e/ && mount --bind /tmp/e /etc",
        ]
    )
    before = foreign(host)
    host.run(["sh", "-c", "dd if=/dev/zero of=/etc/ballast bs=4k 2>/dev/null"], check=False)
    entering, problems = apply(host, [ALICE, BOB], [DEV])
    assert entering == []
    assert problems
    assert unsound(host) == []
    assert foreign(host) == before
    host.run(["rm", "/etc/ballast"])
    assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
    assert sound(host) == ""


def test_a_list_that_cannot_be_written_means_that_nothing_is_made(host):
    host.run(["mkdir", "-p", OWNED])
    before = {name: lines_of(host, name) for name in FILES}
    entering, problems = apply(host, [ALICE], [DEV])
    assert entering == []
    assert "no account is touched" in problems[0]
    assert {name: lines_of(host, name) for name in FILES} == before
