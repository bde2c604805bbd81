"""What is read from files of a host and what is written into them, as text."""

from __future__ import annotations

import base64
import os
import subprocess
import time

import pytest

from ostiary.doors.servers.agent import extrausers, other_ways
from ostiary.doors.servers.agent import other_ways_keys as keys
from ostiary.doors.servers.agent.accounts_files import places
from ostiary.doors.servers.agent.accounts_lookup import Group, Lookup, User
from ostiary.doors.servers.agent.accounts_repair import repairs
from ostiary.doors.servers.agent.accounts_takeover_plan import refusal
from ostiary.doors.servers.agent.accounts_wanted import Account
from ostiary.doors.servers.agent.commands import parser
from ostiary.doors.servers.agent.discover import Planned, conflicts, warnings
from ostiary.doors.servers.agent.files import Paths
from ostiary.doors.servers.agent.other_ways_beside import Way, beside, with_password
from ostiary.doors.servers.agent.other_ways_close import _rename, plan
from ostiary.doors.servers.wire.host import HostUser

BLOB = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode()


def account(name, number, *groups, closed=False):
    return Account(name, number, number, "c", f"/home/{name}", "/bin/sh", groups, closed=closed)


def test_members_of_groups_change_only_for_the_accounts_that_are_meant():
    there = {
        "ostiary": "ostiary:x:990:alice,zoe",
        "dev": "dev:x:63100:alice,snap",
        "theirs": "theirs:x:1700:snap",
    }
    lines = list(
        extrausers._groups(
            there, [], [account("alice", 60001, "ostiary"), account("bob", 60002, "ostiary")]
        )
    )
    assert lines == ["ostiary:x:990:alice,bob,zoe", "dev:x:63100:snap"]


def test_nsswitch_must_name_it_for_all_three(tmp_path):
    file = tmp_path / "nsswitch.conf"
    file.write_text("passwd: files extrausers\ngroup: files extrausers\n# shadow: extrausers\n")
    assert not extrausers.configured(file)
    assert not extrausers.configured(tmp_path / "none")


def test_repairs_name_only_ours_and_only_what_is_missing():
    files = {
        "passwd": "root:x:0:0::/:\nalice:x:1:1::/:\ngone:x:2:2::/:\nlost:x:3:3::/:\n",
        "shadow": "root:*:1::::::\n",
        "group": "alice:x:1:\ndev:x:2:alice\nops:x:3:zed\nostiary:x:4:alice\n",
        "gshadow": "dev:!::\nostiary:!::alice\n",
    }
    assert repairs(files, ["alice"], ["gone"], ["alice", "dev", "ostiary", "absent"]) == [
        ("usermod", "-p", "*", "--", "alice"),
        ("usermod", "-p", "!", "-e", "1", "--", "gone"),
        ("groupmod", "-p", "!", "--", "alice"),
        ("gpasswd", "-M", "alice", "--", "dev"),
    ]
    del files["gshadow"]
    assert len(repairs(files, ["alice"], ["gone"], ["alice", "dev"])) == 2


@pytest.mark.parametrize(
    ("line", "text", "authority"),
    [
        (f"ssh-ed25519 {BLOB} me@here", "me@here", False),
        (f'from="1.2.3.4",command="echo \\"x\\"" ssh-ed25519 {BLOB}', "", False),
        (f"  no-pty,cert-authority ssh-ed25519 {BLOB} ca", "ca", True),
        (f'cert-authority,principals="a" ssh-ed25519 {BLOB} ca\x1b[2J', "ca?[2J", True),
    ],
)
def test_keys_are_told_by_their_fingerprint(line, text, authority):
    key = keys.parsed(line)
    assert key.text.startswith("SHA256:")
    assert key.text.partition(" ")[2] == text
    assert key.is_authority == authority


@pytest.mark.parametrize(
    "line", ["", "# ssh-ed25519 AAAA", "ssh-ed25519", "ssh-ed25519 !!!", "hello world"]
)
def test_what_is_no_key_is_none(line):
    assert keys.parsed(line) is None


def test_the_fingerprint_is_that_of_ssh_keygen(tmp_path, needs):
    needs("ssh-keygen")
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    shown = subprocess.run(
        ["ssh-keygen", "-lf", file], check=True, capture_output=True, text=True
    ).stdout
    (key,) = keys.read(tmp_path / "key.pub")
    assert key.text.split()[0] == shown.split()[1]


def test_files_of_keys_are_where_sshd_looks():
    user = User("dave", 1500, 1500, "", "/home/dave", "/bin/sh")
    patterns = ["/etc/keys/%u", ".ssh/authorized_keys", "%h/k", "none", "/k/%U%%"]
    assert [str(one) for one in keys.places(patterns, user)] == [
        *("/etc/keys/dave", "/home/dave/.ssh/authorized_keys", "/home/dave/k", "/k/1500%"),
    ]


def test_reading_keys_hangs_on_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert keys.read(tmp_path / "pipe") == []
    assert keys.read(tmp_path) == []
    assert keys.read(tmp_path / "none") == []


def test_whoever_holds_his_keys_is_not_waited_for_and_hides_none(tmp_path, lease):
    user = User("dave", 1500, 1500, "", str(tmp_path), "/bin/sh")
    settings = {"pubkeyauthentication": ["yes"], "authorizedkeysfile": [".ssh/authorized_keys"]}
    file = tmp_path / ".ssh/authorized_keys"
    file.parent.mkdir()
    file.write_text(f"ssh-ed25519 {BLOB} dave\n")
    lease(file)
    began = time.monotonic()
    for _ in range(2):  # the first has the kernel ask for it back
        (way,) = other_ways._keys(user, settings)
        assert way.line == f"key  dave  {file}  cannot be read"
    assert plan([way]).files == (str(file),)
    assert time.monotonic() - began < 5


def test_closing_waits_for_nobody_either(tmp_path, lease):
    file = tmp_path / "authorized_keys"
    file.write_text("x\n")
    lease(file)
    began = time.monotonic()
    assert keys.read(file) == [keys.Key("", keys.UNREAD)]
    assert _rename(file, "", ".aside") == ""
    assert not file.exists()
    assert time.monotonic() - began < 5


def test_what_can_be_a_password(tmp_path):
    (tmp_path / "etc").mkdir()
    lines = ["a:$y$j9T$x:1", "b:!:1", "c:*:1", "d::1", "e:!$y$x:1", "f", "g:x:"]
    (tmp_path / "etc/shadow").write_text("\n".join(lines))
    assert with_password(tmp_path) == ("a", "d")
    assert with_password(tmp_path / "none") == ()


def test_a_host_without_a_cloud_has_no_ways_of_one(tmp_path):
    assert list(beside(tmp_path)) == []


def test_a_plan_closes_what_can_be_undone_and_leaves_the_rest():
    ways = [
        Way("key", "root", "/root/.ssh/authorized_keys", "one", "keys"),
        Way("key", "root", "/root/.ssh/authorized_keys", "two", "keys"),
        Way(
            "password",
            "dave",
            "sshd",
            "",
            "sshd_config: PasswordAuthentication no; KbdInteractiveAuthentication no",
        ),
        Way("session-manager", "ssm-user", "/x", "IAM"),
    ]
    made = plan(ways)
    assert made.files == ("/root/.ssh/authorized_keys",)
    assert made.settings == ("KbdInteractiveAuthentication no", "PasswordAuthentication no")
    assert made.left == ("session-manager  ssm-user  /x  IAM: not the agent's to close",)


def test_conflicts_and_warnings_depend_on_the_start():
    lookup = Lookup([User("dave", 70010, 1, "", "/", "/bin/sh")], [Group("ops", 80010)], ask=False)
    assert list(conflicts(Planned(70001, 80001), lookup, set())) == [
        "UID 70010 of dave is above the project's start 70001",
        "GID 80010 of group ops is above the project's start 80001",
    ]
    assert list(conflicts(Planned(70001, 80001), lookup, {"dave", "ops"})) == []
    assert list(conflicts(Planned(90001, 100001), lookup, set())) == []
    told = list(
        warnings(Planned(1500, 70001), {"UID_MIN": 1000, "UID_MAX": 60000}, [("bob", 75000, 65536)])
    )
    assert told[0] == "UIDs from 1500 on are those that useradd gives here (1000-60000)"
    assert told[-1] == "GIDs from 70001 on meet the subordinate range 75000-140535 of bob"


@pytest.mark.parametrize(
    ("uid", "local", "why"),
    [
        (0, True, "system's"),
        (999, True, "system's"),
        (60100, True, "systemd-homed"),
        (62000, True, "DynamicUser"),
        (65534, True, "nobody"),
        (1500, False, "another source"),
    ],
)
def test_whom_nobody_can_approve(uid, local, why):
    there = User("dave", uid, 1500, "", "/home/dave", "/bin/sh")
    lookup = Lookup([there], [], ask=False)
    names = frozenset({"dave"} if local else ())
    assert why in refusal(HostUser("dave", 60001, 63001, ""), there, lookup, names)


def test_each_local_file_system_once(tmp_path):
    info = tmp_path / "mountinfo"
    info.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:1 /srv /srv rw - ext4 /dev/sda1 rw\n"
        "3 1 0:30 / /home rw shared:1 - nfs4 server:/home rw\n4 1 0:5 / /proc rw - proc proc rw\n"
        "5 1 0:31 / /my\\040disk rw - xfs /dev/sdb rw\n"
        "6 1 0:32 / /var/lib/docker/overlay2/1/merged rw - overlay overlay rw\n"
    )
    assert places(info) == ("/", "/my disk")


def test_a_root_that_is_an_overlay_is_looked_through(tmp_path):
    info = tmp_path / "mountinfo"
    info.write_text("1 0 0:29 / / rw - overlay overlay rw\n2 1 0:30 / /run rw - tmpfs tmpfs rw\n")
    assert places(info) == ("/", "/run")


def test_a_plan_of_nobody_says_so_and_asks_for_no_approval(tmp_path, capsys):
    given = parser().parse_args(["takeover", "--plan", str(tmp_path / "plan.json")])
    assert given.work(given, Paths(var=tmp_path)) == 0
    told = capsys.readouterr()
    assert (told.out, "approve" in told.err) == ("", False)
    assert "nobody whom the project lets in has an account of another here" in told.err
