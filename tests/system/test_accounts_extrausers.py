"""Accounts in /var/lib/extrausers, read by Debian's libnss-extrausers: the whole life of them, and a kill at every step."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
from accounts_world import (
    APPLYING,
    ENV,
    FULL,
    OWNED,
    apply,
    as_user,
    exists,
    in_host,
    lines_of,
    python,
    running,
    text,
)
from conftest import STRICT
from hosts import Fleet
from slowed import slowed

from ostiary.doors.servers.wire.host import HostGroup, HostUser, SudoRule

pytestmark = pytest.mark.root

PLACE = "/var/lib/extrausers"
DEV = HostGroup("dev", 63100)
ALICE = HostUser(
    "alice", 60001, 63001, "Alice", groups=("dev",), sudo=(SudoRule("r", ("/usr/bin/whoami",)),)
)
BOB = HostUser("bob", 60002, 63002, "Bob")
INSTALLED = [
    Path("/usr/lib/libnss_extrausers.so.2"),
    Path("/usr/lib/x86_64-linux-gnu/libnss_extrausers.so.2"),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Debian's library: as installed, else unpacked from its package."""
    for there in INSTALLED:
        if there.exists():
            return there
    folder = tmp_path_factory.mktemp("extrausers")
    got = subprocess.run(
        ["apt-get", "download", "libnss-extrausers"], cwd=folder, capture_output=True, check=False
    )
    packages = list(folder.glob("*.deb"))
    if got.returncode or not packages:
        (pytest.fail if STRICT else pytest.skip)("not run: needs the package libnss-extrausers")
    subprocess.run(["dpkg", "-x", packages[0], folder], check=True)
    return folder / "usr/lib/libnss_extrausers.so.2"


@pytest.fixture
def host(library):
    with Fleet(["web1"]) as fleet:
        host = fleet["web1"]
        in_host(host, "/usr/local/lib/libnss_extrausers.so.2").write_bytes(library.read_bytes())
        host.run(["ldconfig"])
        host.run(
            ["sed", "-i", "-E", "/^(passwd|group|shadow):/s/$/ extrausers/", "/etc/nsswitch.conf"]
        )
        yield host


def sound(host):
    check = f"pwck -rq {PLACE}/passwd {PLACE}/shadow; pwck -rq; grpck -r; visudo -cq"
    return host.run(["sh", "-c", check], check=False).stdout


def unsound(host):
    """Without lines that shadow has and passwd has not yet: nobody's."""
    halves = ("no matching", "delete line", "no changes")
    return [one for one in sound(host).splitlines() if not any(part in one for part in halves)]


def test_the_whole_life_of_an_account_leaves_etc_alone(host):
    before = {name: host.read(f"/etc/{name}") for name in ("passwd", "shadow", "group", "gshadow")}
    assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
    assert host.run(["id", "-nG", "alice"]).stdout.split() == ["alice", "ostiary-managed", "dev"]
    assert as_user(host, ALICE, "cat", "/home/alice/.profile").stdout
    assert as_user(host, ALICE, "sudo", "-n", "/usr/bin/whoami").stdout == "root\n"
    assert host.run(["su", "-s", "/bin/sh", "-c", "id -u", "alice"]).stdout == "60001\n"
    inode = in_host(host, f"{PLACE}/passwd").stat().st_ino
    assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
    assert in_host(host, f"{PLACE}/passwd").stat().st_ino == inode
    sleeping = host.popen(
        ["setpriv", "--reuid", "60001", "--regid", "63001", "--clear-groups", "sleep", "99"]
    )
    assert apply(host, [BOB], [DEV]) == (["bob"], [])
    assert sleeping.wait(5) == -9
    assert running(host, "alice") == ""
    assert host.run(["su", "-s", "/bin/sh", "-c", "id", "alice"], check=False).returncode == 1
    assert host.run(["id", "-nG", "alice"]).stdout.split() == ["alice", "ostiary-managed"]
    assert exists(host, "/home/alice/.profile")
    assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
    assert host.run(["su", "-s", "/bin/sh", "-c", "id -u", "alice"]).stdout == "60001\n"
    assert {name: host.read(f"/etc/{name}") for name in before} == before
    assert sound(host) == ""


def test_lines_of_others_stay_and_their_names_are_conflicts(host):
    theirs = {
        "passwd": "snap:x:1700:1700::/home/snap:/bin/sh\nbob:x:1701:1701::/home/bob:/bin/sh\n",
        "shadow": "snap:*:19000:0:99999:7:::\nbob:*:19000:0:99999:7:::\n",
        "group": "snap:x:1700:\nbob:x:1701:snap\n",
    }
    for name, lines in theirs.items():
        host.write(f"{PLACE}/{name}", lines, 0o640 if name == "shadow" else 0o644)
    host.run(["chgrp", "shadow", f"{PLACE}/shadow"])
    entering, problems = apply(host, [ALICE, BOB], [DEV])
    assert entering == ["alice"]
    assert problems == ["bob: an account bob with UID 1701 exists and is not ours"]
    apply(host, [])
    for name, lines in theirs.items():
        assert host.read(f"{PLACE}/{name}").startswith(lines)
    shadow = in_host(host, f"{PLACE}/shadow").stat()
    assert (shadow.st_gid, shadow.st_mode & 0o777) == (42, 0o640)


def test_accounts_made_by_useradd_stay_where_they_are(host):
    host.run(["sed", "-i", "s/ extrausers//", "/etc/nsswitch.conf"])
    apply(host, [ALICE], [DEV])
    host.run(["sed", "-i", "-E", "/^(passwd|group|shadow):/s/$/ extrausers/", "/etc/nsswitch.conf"])
    assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
    assert [line for line in lines_of(host, "passwd") if line.startswith(("alice", "bob"))] == [
        "alice:x:60001:63001:Alice:/home/alice:/bin/bash"
    ]
    assert "alice" not in host.read(f"{PLACE}/passwd")
    apply(host, [])
    for login in ("alice", "bob"):
        assert host.run(["getent", "passwd", login]).stdout.endswith("/nologin\n")
        assert host.run(["getent", "shadow", login]).stdout.split(":")[1].startswith("!")


@pytest.mark.chaos
@pytest.mark.parametrize("call", ["write", "rename", "fsync", "openat"])
def test_a_kill_at_any_step_leaves_files_that_parse(host, call):
    """G4 for this backend; every n-th call of the agent itself, from the first that writes."""
    killed = 0
    steps = range(1, 12) if call != "openat" else range(100, 400, 20)
    for nth in steps if FULL else (steps[1], steps[3], steps[5]):
        apply(host, [HostUser("carol", 60003, 63003, "")])
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={nth}"]
        strace = ["strace", "-qq", "-o", "/run/strace", *inject]
        host.run([*strace, *APPLYING], stdin=text([ALICE, BOB], [DEV]), env=ENV, check=False)
        killed += "killed by SIGKILL" in host.read("/run/strace")
        assert unsound(host) == []
        assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
        assert host.run(["getent", "shadow", "carol"]).stdout.split(":")[1] == "!"
        assert not [one.name for one in in_host(host, PLACE).iterdir() if one.name.startswith(".")]
        host.run(["sh", "-c", f"rm -rf {PLACE}/* {OWNED} /home/*"])
    assert killed


def test_a_full_disk_leaves_what_was(host):
    host.run(["sh", "-c", f"mkdir -p {PLACE}; mount -t tmpfs -o size=64k,mode=755 t {PLACE}"])
    apply(host, [BOB], [DEV])
    before = {name: host.read(f"{PLACE}/{name}") for name in ("passwd", "shadow", "group")}
    many = [
        HostUser(f"u{n:04}", 65600 + n, 65600 + n, "someone of the company") for n in range(1200)
    ]
    entering, problems = apply(host, [BOB, *many], [DEV])
    assert entering == ["bob"]
    assert any("No space left" in one for one in problems)
    assert host.read(f"{PLACE}/passwd") == before["passwd"]
    assert sound(host) == ""


MOVE = f"""
import json, os
from pathlib import Path
from ostiary.doors.servers.agent import accounts, managed_group
from ostiary.doors.servers.agent.files import Paths
from ostiary.doors.servers.wire.host import HostState
from ostiary.doors.servers.wire.message import decode
state, paths = decode(HostState, Path("/root/state").read_bytes()), Paths()
for one in (paths.drop_in, paths.sshd_config, paths.pam):
    os.utime(one, (1e9, 1e9))
managed_group.end(paths)
groups = managed_group.names(paths)
done = accounts.apply(state.users, state.groups, Path("{OWNED}"), groups)
print(json.dumps([groups, done.problems]))
"""


def test_the_former_group_of_managed_users_goes_when_nothing_goes_by_it(host):
    assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
    place = in_host(host, f"{PLACE}/group")
    place.write_text(place.read_text() + "ostiary:x:600:alice\n")
    host.write("/root/state", text([ALICE, BOB], [DEV]))
    drop_in = "/etc/ssh/sshd_config.d/00-ostiary.conf"
    host.write(drop_in, "Match Group ostiary\n")
    assert json.loads(python(host, MOVE).stdout) == [["ostiary-managed", "ostiary"], []]
    assert "ostiary:x:600:alice,bob\n" in place.read_text()
    assert set(host.run(["id", "-nG", "bob"]).stdout.split()) == {
        "bob", "ostiary", "ostiary-managed"
    }  # fmt: skip
    host.write(drop_in, "Match Group ostiary-managed\n")
    assert json.loads(python(host, MOVE).stdout) == [["ostiary-managed"], []]
    assert "ostiary:" not in place.read_text()
    assert set(host.run(["id", "-nG", "bob"]).stdout.split()) == {"bob", "ostiary-managed"}
    assert unsound(host) == []


PREPARE = """
from ostiary.doors.servers.agent import leave
from ostiary.doors.servers.agent.files import Paths
print(leave.prepare_image(Paths(), print))
"""


def test_an_image_carries_no_line_and_no_home_of_ours(host):
    """And every line of others, with those of its members who are not ours; shadow is still read by its group."""
    theirs = {
        "passwd": "snap:x:1700:1700::/home/snap:/bin/sh\n",
        "shadow": "snap:*:19000:0:99999:7:::\n",
        "group": "snap:x:1700:\nothers:x:1701:snap,alice\n",
    }
    for name, lines in theirs.items():
        host.write(f"{PLACE}/{name}", lines, 0o640 if name == "shadow" else 0o644)
    host.run(["chgrp", "shadow", f"{PLACE}/shadow"])
    apply(host, [ALICE, BOB], [DEV])
    assert apply(host, [ALICE], [DEV])[0] == ["alice"]
    assert python(host, PREPARE).stdout == "()\n"
    theirs["group"] = "snap:x:1700:\nothers:x:1701:snap\n"
    assert {name: host.read(f"{PLACE}/{name}") for name in theirs} == theirs
    shadow = in_host(host, f"{PLACE}/shadow").stat()
    assert (shadow.st_gid, shadow.st_mode & 0o777) == (42, 0o640)
    assert host.run(["ls", "-A", "/home"]).stdout == ""


def test_a_thousand_accounts_take_a_second(host):
    """The bar of the bench, with room for a loaded machine; the bench prints the figure."""
    many = [HostUser(f"u{n:04}", 65600 + n, 65600 + n, "someone") for n in range(1000)]
    host.write("/root/state", text(many, [DEV]))
    timed = (
        "import time, json\nfrom pathlib import Path\nfrom ostiary.doors.servers.agent import accounts\n"
        "from ostiary.doors.servers.wire.host import HostState\nfrom ostiary.doors.servers.wire.message import decode\n"
        "state = decode(HostState, Path('/root/state').read_bytes())\nbegan = time.process_time()\n"
        f"done = accounts.apply(state.users, state.groups, Path('{OWNED}'))\n"
        "print(json.dumps([len(done.entering), time.process_time() - began]))"
    )
    began = time.monotonic()
    entering, cpu = json.loads(python(host, timed).stdout)
    assert entering == 1000
    assert time.monotonic() - began < 8 * slowed()
    assert cpu < 2 * slowed()
    assert len(list(in_host(host, "/home").iterdir())) == 1000


def test_who_is_named_as_a_member_of_other_groups_does_not_enter(host):
    """/etc/group may name somebody whose account is gone, or is LDAP's: of sudo, of docker."""
    carl = HostUser("carl", 60003, 63003, "Carl")
    group = host.read("/etc/group").replace("sudo:x:27:", "sudo:x:27:carl")
    host.write("/etc/group", group + "docker:x:994:carl\n")
    for _ in range(2):
        entering, problems = apply(host, [carl])
        why = "it is named as a member of docker, sudo, which no rule gives: take it out there"
        assert (entering, problems) == ([], [f"carl: {why}"])
    host.run(
        ["sed", "-i", "-e", "s/^sudo:x:27:carl/sudo:x:27:/", "-e", "/^docker:/d", "/etc/group"]
    )
    assert apply(host, [carl]) == (["carl"], [])
