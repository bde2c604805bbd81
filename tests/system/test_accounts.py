"""LocalUsers, groups and sudo rules on a host with Debian's own useradd, sudo, PAM and sshd."""

from __future__ import annotations

import fcntl
import json
import os
import time

import pytest
from accounts_world import OWNED, apply, as_user, exists, in_host, lines_of, python, running, sound
from hosts import Fleet, wait_for

from ostiary.doors.servers.wire.host import HostGroup, HostUser, SudoRule

pytestmark = pytest.mark.root

DEV = HostGroup("dev", 63100)
RULE = SudoRule("show", ("/usr/bin/id -u", "/usr/bin/whoami"))
ALICE = HostUser("alice", 60001, 63001, "Alice A", groups=("dev",), sudo=(RULE,))
BOB = HostUser("bob", 60002, 63002, "Bob", sudo=(SudoRule("admin", ("ALL",)),))


@pytest.fixture
def host():
    with Fleet(["web1"]) as fleet:
        yield fleet["web1"]


def test_accounts_groups_homes_and_sudo_are_made_and_a_second_time_changes_nothing(host):
    assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
    assert host.run(["id", "alice"]).stdout.startswith("uid=60001(alice) gid=63001(alice)")
    assert host.run(["id", "-nG", "alice"]).stdout.split() == ["alice", "ostiary-managed", "dev"]
    home = in_host(host, "/home/alice").stat()
    assert (home.st_uid, home.st_gid, home.st_mode & 0o7777) == (60001, 63001, 0o700)
    assert as_user(host, ALICE, "cat", "/home/alice/.profile").stdout
    assert sound(host) == ""
    before = {
        name: in_host(host, f"/etc/{name}").stat().st_ino for name in ("passwd", "shadow", "group")
    }
    assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
    after = {name: in_host(host, f"/etc/{name}").stat().st_ino for name in before}
    assert after == before


def test_sudo_allows_what_the_rule_says_and_nothing_else(host):
    apply(host, [ALICE, BOB], [DEV])
    assert as_user(host, ALICE, "sudo", "-n", "/usr/bin/id", "-u").stdout == "0\n"
    assert as_user(host, ALICE, "sudo", "-n", "/usr/bin/whoami").stdout == "root\n"
    for argv in (["/usr/bin/id"], ["/usr/bin/whoami", "--help"], ["/bin/sh"], ["-s"]):
        assert as_user(host, ALICE, "sudo", "-n", *argv, check=False).returncode == 1
    assert as_user(host, BOB, "sudo", "-n", "/bin/sh", "-c", "id -u").stdout == "0\n"
    apply(host, [HostUser("bob", 60002, 63002, "Bob")])
    assert as_user(host, BOB, "sudo", "-n", "/usr/bin/id", check=False).returncode == 1


def test_what_root_changed_on_our_accounts_is_put_right(host):
    apply(host, [ALICE], [DEV])
    host.run(["usermod", "-aG", "sudo", "-s", "/bin/sh", "alice"])
    host.run(["gpasswd", "-d", "alice", "ostiary-managed"])
    assert apply(host, [ALICE], [DEV]) == (["alice"], [])
    assert host.run(["id", "-nG", "alice"]).stdout.split() == ["alice", "ostiary-managed", "dev"]
    assert host.run(["getent", "passwd", "alice"]).stdout.endswith(":/bin/bash\n")
    host.run(["userdel", "alice"])
    assert apply(host, [ALICE], [DEV]) == (["alice"], [])


def test_nobody_is_lent_numbers_which_may_be_those_of_another(host):
    """newuidmap(1) would make a LocalUser root of another's processes and files."""
    before = {name: host.read(f"/etc/{name}") for name in ("subuid", "subgid")}
    others = [HostUser("dave", 165_540, 165_540, ""), HostUser("erin", 165_541, 165_541, "")]
    assert apply(host, [*others, ALICE])[0] == ["dave", "erin", "alice"]
    assert {name: host.read(f"/etc/{name}") for name in before} == before


def test_any_number_of_a_group_is_the_one_that_was_asked_for(host):
    """useradd makes it along with the account, and would choose one by itself; of the largest it would run out of memory."""
    gids = {"dave": 2**31 - 2, "erin": 1777, "fay": 63007, "gus": 63005, "heidi": 16 * 1024 * 1024}
    many = [HostUser(name, 60010 + n, gid, "") for n, (name, gid) in enumerate(gids.items())]
    assert apply(host, many) == (list(gids), [])
    for name, gid in gids.items():
        assert host.run(["getent", "group", name]).stdout == f"{name}:x:{gid}:\n"
        assert host.run(["id", "-g", name]).stdout == f"{gid}\n"
    assert sound(host) == ""


def test_an_account_that_is_there_is_never_taken_over(host):
    """G6: the same name, the same UID, the same GID, a group of the name; other lines stay as they were."""
    host.run(["useradd", "-m", "-u", "1500", "-c", "mine", "alice"])
    host.run(["useradd", "-u", "60002", "robert"])
    host.run(["groupadd", "-g", "63100", "ops"])
    files = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")
    ours = ("carol", "ostiary-managed")
    before = {name: lines_of(host, name) for name in files}
    carol = HostUser("carol", 60003, 63003, "")
    entering, problems = apply(host, [ALICE, BOB, carol], [DEV])
    assert entering == ["carol"]
    assert problems == [
        "alice: an account alice with UID 1500 exists and is not ours",
        "bob: UID 60002 belongs to robert",
        "group dev: GID 63100 belongs to group ops",
    ]
    assert {name: lines_of(host, name, *ours) for name in files} == before
    assert apply(host, [])[0] == []
    assert {name: lines_of(host, name, *ours) for name in files} == before
    assert in_host(host, "/etc/sudoers.d").is_dir()
    assert not exists(host, "/etc/sudoers.d/ostiary-60001")


def test_numbers_and_names_of_the_system_are_refused(host):
    """Negative test 19."""
    before = {
        name: lines_of(host, name, "ostiary-managed") for name in ("passwd", "shadow", "group")
    }
    wrong = [
        HostUser("zero", 0, 63001, ""),
        HostUser("low", 499, 63002, ""),
        HostUser("under", 999, 63003, ""),
        HostUser("nobodys", 65534, 63004, ""),
        HostUser("root", 60005, 63005, ""),
        HostUser("sshd", 60006, 63006, ""),
        HostUser("group0", 60007, 0, ""),
    ]
    entering, problems = apply(host, wrong, [HostGroup("docker", 63100), HostGroup("staff", 63101)])
    assert entering == []
    assert len(problems) == len(wrong) + 2
    assert {name: lines_of(host, name, "ostiary-managed") for name in before} == before


def test_no_name_ever_reaches_a_program_or_a_file_unless_it_is_plain(host):
    """G7 and negative test 16, with every execve of the run watched."""
    marks = (
        "a;b",
        "$(touch /tmp/owned)",
        "`touch /tmp/owned`",
        "../../etc/x",
        "-rf",
        "ALL",
        "a:0:0",
        "#0",
    )
    more = (
        "a\nmallory:x:0:0::/:/bin/sh",
        "%admins",
        "..",
        "0",
        "x" * 33,
        "b\u0430d",
        "alice.",
        "alice ",
        "Alice",
    )
    users = [HostUser(name, 60010 + n, 63010 + n, "") for n, name in enumerate([*marks, *more])]
    text = "$(touch /tmp/owned); `id`\nroot2:x:0:0::/:/bin/sh"
    good = HostUser("alice", 60001, 63001, text, groups=(text, "-rf"), shell="/bin/sh -c id")
    watch = ["strace", "-f", "-qq", "-s", "4000", "-e", "trace=execve", "-o", "/run/execs"]
    entering, problems = apply(host, [*users, good], [HostGroup("a b", 63200)], wrapper=watch)
    assert entering == ["alice"]
    assert all(one.isprintable() for one in problems)
    assert (
        len([one for one in problems if "is no name" in one or "name of the system" in one])
        == len(users) + 1
    )
    execs = host.read("/run/execs")
    assert "useradd" in execs
    assert not [name for name in (*marks, *more) if f'"{name}"' in execs]
    assert '"touch' not in execs.replace('"-c", "touch  tmp owned ', "")
    assert "touch /tmp" not in execs
    assert 'bin/sh",' not in execs.replace('"-s", "/bin/sh",', "")
    assert not exists(host, "/tmp/owned")
    uid_zero = [line for line in lines_of(host, "passwd") if line.split(":")[2] == "0"]
    assert len(uid_zero) == 1
    assert sound(host) == ""


def test_the_lock_of_apt_is_waited_for_and_not_for_ever(host):
    """G8."""
    lock = os.open(in_host(host, "/etc/.pwd.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
    fcntl.lockf(lock, fcntl.LOCK_EX)
    impatient = "from ostiary.doors.servers.agent import accounts_local as a\n"
    short = impatient + (
        "a.PATIENCE = 1\n"
        "from pathlib import Path\nfrom ostiary.doors.servers.agent import accounts\n"
        "from ostiary.doors.servers.wire.host import HostUser\n"
        "import time\nbegan = time.monotonic()\n"
        f'done = accounts.apply([HostUser("alice", 60001, 63001, "")], [], Path("{OWNED}"))\n'
        "print(done.problems, done.entering, time.monotonic() - began < 5)"
    )
    said = python(host, short).stdout
    assert "/etc/.pwd.lock is held for more than 1 s" in said
    assert said.endswith("() True\n")
    os.close(lock)
    assert apply(host, [ALICE], [DEV]) == (["alice"], [])


def test_a_damaged_list_is_put_aside_and_rebuilt(host):
    """G5: cut, flipped, empty, another user's; accounts that are not ours are never touched."""
    host.run(["useradd", "-m", "-u", "1500", "dave"])
    apply(host, [ALICE, BOB], [DEV])
    whole = host.read(OWNED)
    for damaged in (
        "",
        whole[:20],
        whole.replace("60001", '"x"'),
        "[]",
        json.dumps({"users": {"dave": 1500}}),
        json.dumps({"users": {}, "groups": {}, "gone": {"root": 0}, "cut": []}),
        json.dumps({"users": {}, "groups": {}, "gone": {"games": 5}, "cut": []}),
    ):
        host.write(OWNED, damaged, 0o600)
        assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
    host.write(OWNED, whole, 0o666)
    assert apply(host, [ALICE], [DEV]) == (["alice"], [])
    assert host.run(["getent", "passwd", "bob"]).stdout.endswith("/usr/sbin/nologin\n")
    assert host.run(["getent", "passwd", "dave"]).stdout.endswith("/bin/sh\n")
    kept = [one.name for one in in_host(host, "/var/lib/ostiary").iterdir() if ".bad-" in one.name]
    assert kept


def test_a_home_that_is_a_link_or_another_users_is_left_alone(host):
    """Negative test 20."""
    host.run(["sh", "-c", "ln -s /etc /home/alice; mkdir /home/bob; mkdir /target"], check=False)
    before = in_host(host, "/etc").stat()
    entering, problems = apply(host, [ALICE, BOB], [DEV])
    assert entering == []
    assert "alice: /home/alice is no folder" in problems
    assert "bob: /home/bob belongs to UID 0, not 60002" in problems
    after = in_host(host, "/etc").stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)
    assert in_host(host, "/home/bob").stat().st_uid == 0
    assert not exists(host, "/etc/.profile")


def test_links_swapped_in_while_people_are_cut_lead_nowhere(host):
    """Negative test 20: the home and .ssh are turned into links to root's while the user is removed."""
    apply(host, [ALICE], [DEV])
    host.run(["sh", "-c", "mkdir -p /root/.ssh; echo key > /root/.ssh/authorized_keys"])
    as_user(host, ALICE, "sh", "-c", "ln -s /root/.ssh /home/alice/.ssh")
    apply(host, [])
    assert host.read("/root/.ssh/authorized_keys") == "key\n"
    host.run(["sh", "-c", "mv /home/alice /home/was; ln -s /root /home/alice"])
    apply(host, [ALICE], [DEV])
    apply(host, [])
    assert host.read("/root/.ssh/authorized_keys") == "key\n"
    assert in_host(host, "/root").stat().st_uid == 0


def test_who_is_removed_loses_processes_jobs_keys_and_sudo_and_keeps_home_and_number(host):
    apply(host, [ALICE, BOB], [DEV])
    as_user(
        host,
        ALICE,
        "sh",
        "-c",
        "mkdir .ssh; echo k > .ssh/authorized_keys; echo work > kept",
        check=False,
    )
    home = "cd /home/alice && mkdir .ssh && echo k > .ssh/authorized_keys && echo work > kept"
    as_user(host, ALICE, "sh", "-c", home)
    host.run(
        [
            "sh",
            "-c",
            "mkdir -p /var/spool/cron/atjobs /var/lib/systemd/linger; touch /var/lib/systemd/linger/alice",
        ]
    )
    host.write("/var/spool/cron/crontabs/alice", "* * * * * touch /tmp/cron\n", 0o600)
    host.write("/var/spool/cron/atjobs/a0000101", "touch /tmp/at\n", 0o700)
    host.run(
        ["chown", "60001", "/var/spool/cron/atjobs/a0000101", "/var/spool/cron/crontabs/alice"]
    )
    stubborn = "trap '' HUP TERM INT; while :; do setsid sleep 100 & sleep 0.05; done"
    started = []
    for script in (stubborn, "setsid sleep 1000 & exec sleep 1000", "exec sudo -n /usr/bin/whoami"):
        numbers = ["--reuid", "60001", "--regid", "63001", "--init-groups"]
        started.append(host.popen(["setpriv", *numbers, "setsid", "sh", "-c", script], stdout=-3))
    bobs = host.popen(
        ["setpriv", "--reuid", "60002", "--regid", "63002", "--clear-groups", "sleep", "77"]
    )
    wait_for(lambda: running(host, "alice", "-f", "^sleep 1000"), "what goes on")
    began = time.monotonic()
    assert apply(host, [BOB]) == (["bob"], [])
    assert time.monotonic() - began < 5
    assert running(host, "alice") == ""
    assert running(host, "bob")
    bobs.kill()
    assert [one.wait(5) for one in started][:2] == [-9, -9]
    bobs.wait(5)
    for gone in (
        *(
            "/var/lib/systemd/linger/alice",
            "/var/spool/cron/crontabs/alice",
            "/etc/sudoers.d/ostiary-60001",
        ),
        *("/var/spool/cron/atjobs/a0000101", "/home/alice/.ssh/authorized_keys"),
    ):
        assert not exists(host, gone)
    aside = "/var/lib/ostiary/removed/60001-alice"
    assert host.read(f"{aside}/crontab-crontabs") == "* * * * * touch /tmp/cron\n"
    assert host.read(f"{aside}/at-a0000101") == "touch /tmp/at\n"
    assert host.read("/home/alice/kept") == "work\n"
    assert in_host(host, "/home/alice").stat().st_uid == 60001
    shadow = host.run(["getent", "shadow", "alice"]).stdout.split(":")
    assert shadow[1].startswith("!")
    assert shadow[7] == "1"
    assert host.run(["su", "-s", "/bin/sh", "-c", "id", "alice"], check=False).returncode == 1
    again = HostUser("zoe", 60001, 63009, "")
    assert apply(host, [BOB, again])[1] == ["zoe: UID 60001 belongs to alice"]


def test_who_comes_back_gets_his_home_and_number_back(host):
    apply(host, [ALICE], [DEV])
    as_user(host, ALICE, "sh", "-c", "echo work > /home/alice/kept")
    apply(host, [])
    assert apply(host, [ALICE], [DEV]) == (["alice"], [])
    assert as_user(host, ALICE, "cat", "/home/alice/kept").stdout == "work\n"
    assert host.run(["su", "-s", "/bin/sh", "-c", "id -u", "alice"]).stdout == "60001\n"
    assert host.run(["id", "-nG", "alice"]).stdout.split() == ["alice", "ostiary-managed", "dev"]
    apply(host, [])
    assert json.loads(host.read(OWNED))["cut"] == ["alice"]


def test_a_closed_account_is_closed_for_sshd_and_long_sessions_end(host):
    """A real login by key: refused once closed; with a bound, ended with all that it started."""
    apply(host, [ALICE], [DEV])
    host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/key"])
    public = host.read("/root/key.pub")
    as_user(
        host,
        ALICE,
        "sh",
        "-c",
        f"mkdir -m 700 /home/alice/.ssh; echo '{public}' > /home/alice/.ssh/authorized_keys",
    )
    host.start_sshd()
    ssh = [
        "ssh",
        "-i",
        "/root/key",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "BatchMode=yes",
        "alice@127.0.0.1",
    ]
    session = host.popen([*ssh, "sleep 500 & exec sleep 500"])
    end = time.monotonic() + 10
    while not running(host, "alice", "sleep") and time.monotonic() < end:
        time.sleep(0.05)
    bound = (
        "from ostiary.doors.servers.agent import cutting; import sys;"
        "print(cutting.end_long_sessions({60001: int(sys.argv[1])}))"
    )
    assert python(host, bound, "300").stdout == "[]\n"
    assert running(host, "alice", "sleep")
    time.sleep(1.1)
    assert python(host, bound, "1").stdout == "[60001]\n"
    assert session.wait(10) != 0
    assert running(host, "alice") == ""
    assert host.run([*ssh, "true"], check=False).returncode == 0
    apply(host, [])
    as_user(
        host,
        ALICE,
        "cp",
        "/home/alice/.ssh/authorized_keys.removed",
        "/home/alice/.ssh/authorized_keys",
    )
    refused = host.run([*ssh, "true"], check=False)
    assert refused.returncode == 255


def test_rules_that_sudo_does_not_read_are_told(host):
    host.run(["sed", "-i", "/includedir/d", "/etc/sudoers"])
    problems = apply(host, [ALICE], [DEV])[1]
    assert problems == [
        "sudo rules: /etc/sudoers does not include /etc/sudoers.d, so none of them counts"
    ]


def test_processes_of_the_system_are_never_ended(host):
    script = (
        "from ostiary.doors.servers.agent import cutting\n"
        'for uid in (0, 999):\n    try:\n        cutting.end_all({"alice": 60001, "x": uid})\n'
        "    except cutting.HostError as error:\n        print(error)"
    )
    sleeping = host.popen(["sleep", "66"])
    assert python(host, script).stdout.count("is the system's") == 2
    assert sleeping.poll() is None
    sleeping.kill()
    sleeping.wait(5)


def test_strangers_in_our_group_are_told(host):
    apply(host, [ALICE], [DEV])
    host.run(["useradd", "-u", "1500", "-G", "ostiary-managed", "dave"])
    entering, problems = apply(host, [ALICE], [DEV])
    assert entering == ["alice"]
    told = "has members that are not ours, whom sshd treats as such: dave"
    assert problems == [f"group ostiary-managed: {told}"]
