"""Whoever is removed is out, whatever they or a clumsy hand did before: nothing of theirs goes on running."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from pathlib import Path

import pytest
from accounts_world import OWNED, apply, as_user, exists, in_host, running
from agent_world import entered
from hosts import Fleet
from hosts_namespace import child_of

from ostiary.doors.servers.wire.host import HostGroup, HostUser

pytestmark = pytest.mark.root
DEV = HostGroup("dev", 63100)
ALICE = HostUser("alice", 60001, 63001, "Alice A", groups=("dev",))
BOB = HostUser("bob", 60002, 63002, "Bob")
JOBS = "/var/spool/cron/atjobs"


@pytest.fixture
def host():
    with Fleet(["web1"]) as fleet:
        host = fleet["web1"]
        assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
        yield host


def started(host, uid):
    """A process of this number that goes on by itself, as a daemon does."""
    options = ["--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
    process = host.popen(["setpriv", *options, "setsid", "sleep", "1000"])
    command = ["pgrep", "-U", str(uid), "sleep"]
    end = time.monotonic() + 10
    while host.run(command, check=False).returncode and time.monotonic() < end:
        time.sleep(0.02)
    return process


def ended(process) -> bool:
    """Whether it was killed; it is no more in any case."""
    if process.poll() is not None:
        return True
    if is_alive(process):
        process.kill()
        process.wait()
        return False
    return process.wait(10) == -9


def is_alive(process) -> bool:
    """Whether what nsenter started goes on."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
        state = (
            Path(f"/proc/{child_of(process.pid)}/stat").read_text().rpartition(")")[2].split()[0]
        )
        return state not in "ZX"
    return False


@pytest.mark.parametrize("then", ["", "an account of that name has another number"])
def test_whose_account_was_deleted_by_hand_is_cut_off_all_the_same(host, then):
    process, other = started(host, 60001), started(host, 60002)
    host.run(["sed", "-i", "/^alice:/d", "/etc/passwd"])
    if then:
        host.run(["useradd", "-M", "-N", "-u", "1501", "alice"])
        host.write("/var/spool/cron/crontabs/alice", "# of the other\n", 0o600)
    apply(host, [BOB])
    assert (ended(process), ended(other)) == (True, False)
    assert json.loads(host.read(OWNED))["cut"] == ["alice"]
    assert not then or exists(host, "/var/spool/cron/crontabs/alice")


def test_a_number_that_somebody_else_has_by_now_is_left_alone(host):
    host.run(["sed", "-i", "/^alice:/d", "/etc/passwd"])
    host.run(["useradd", "-M", "-N", "-K", "UID_MAX=70000", "-u", "60001", "mallory"])
    process = started(host, 60001)
    apply(host, [BOB])
    assert not ended(process)


def test_what_runs_in_rootless_containers_is_of_who_started_it(host):
    """As a number that is lent by subuid(5), and with a parent that is no more; never as an account's own."""
    lent = 500_005
    lines = "alice:500000:65536\\nalice:1500:20"
    host.run(["sh", "-c", f"printf '{lines}\\n' >> /etc/subuid; useradd -M -u 1501 dave"])
    inside, wrongly = started(host, lent), started(host, 1501)
    apply(host, [BOB])
    assert (ended(inside), ended(wrongly)) == (True, False)


def test_a_job_of_any_size_is_put_aside(host):
    host.run(["mkdir", "-p", JOBS])
    host.run(["truncate", "-s", "3G", f"{JOBS}/a1"])
    host.run(["mkfifo", "/var/spool/cron/crontabs/alice"])
    host.run(["chown", "60001", f"{JOBS}/a1", "/var/spool/cron/crontabs/alice"])
    assert apply(host, [BOB], wrapper=["prlimit", "--as=1000000000"]) == (["bob"], [])
    aside = in_host(host, "/var/lib/ostiary/removed/60001-alice")
    assert [(one.name, one.stat().st_size) for one in aside.iterdir()] == [("at-a1", 3 * 2**30)]
    assert not exists(host, "/var/spool/cron/crontabs/alice")


def test_jobs_go_to_another_file_system_too(host):
    host.run(["mkdir", "-p", JOBS])
    host.run(["mount", "-t", "tmpfs", "none", JOBS])
    host.write(f"{JOBS}/a1", "touch /tmp/at\n", 0o700)
    host.run(["chown", "60001", f"{JOBS}/a1"])
    assert apply(host, [BOB]) == (["bob"], [])
    assert host.read("/var/lib/ostiary/removed/60001-alice/at-a1") == "touch /tmp/at\n"
    assert not exists(host, f"{JOBS}/a1")


def test_a_list_that_is_lost_or_of_an_older_backup_is_known_again(host):
    apply(host, [ALICE], [DEV])
    older = host.read(OWNED)
    apply(host, [ALICE, BOB, HostUser("carol", 60003, 63003, "Carol")], [DEV])
    host.run(["useradd", "-m", "-u", "1500", "-G", "ostiary-managed", "dave"])
    dave = HostUser("dave", 60004, 63004, "")
    host.write(OWNED, older, 0o600)
    entering, problems = apply(host, [ALICE, BOB, dave], [DEV])
    assert entering == ["alice", "bob"]
    assert "dave: an account dave with UID 1500 exists and is not ours" in problems
    host.run(["gpasswd", "-d", "dave", "ostiary-managed"])
    host.run(["rm", OWNED])
    assert apply(host, [ALICE, BOB], [DEV]) == (["alice", "bob"], [])
    assert host.run(["getent", "passwd", "carol"]).stdout.endswith("/usr/sbin/nologin\n")
    assert host.run(["getent", "passwd", "dave"]).stdout.endswith("/bin/sh\n")


def test_a_host_without_a_list_takes_nobody_for_its_own_by_the_group_of_before():
    with Fleet(["web1"]) as fleet:
        host = fleet["web1"]
        host.run(["useradd", "-m", "-u", "1500", "dave"])
        host.run(["groupadd", "--system", "-U", "dave", "ostiary"])
        apply(host, [ALICE], [DEV])
        assert host.run(["getent", "passwd", "dave"]).stdout.endswith("/bin/sh\n")


def test_sudo_rules_of_others_stay(host):
    theirs = "/etc/sudoers.d/ostiary-ops"
    host.write(theirs, "games ALL=(root) /usr/bin/id\n", 0o440)
    host.write("/etc/sudoers.d/ostiary-60007", "games ALL=(root) /usr/bin/id\n", 0o440)
    apply(host, [ALICE], [DEV])
    assert exists(host, theirs)
    assert not exists(host, "/etc/sudoers.d/ostiary-60007")


def test_who_fills_the_disk_is_out_all_the_same(tmp_path):
    """The state and the list of what is ours cannot be written: nothing is made or closed, and who is gone is cut off."""
    place = "/var/lib/ostiary"
    with entered(tmp_path) as world:
        host = world.host
        argv = [*world.person.options(world.made()), f"alice@{host.address}", "echo in; sleep 600"]
        with world.fleet.client.popen(argv, stdout=subprocess.PIPE) as session:
            assert session.stdout.readline() == "in\n"
            host.run(["cp", "-a", place, "/root/kept"])
            host.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "none", place])
            host.run(
                ["sh", "-c", f"cp -a /root/kept/. {place}; cat /dev/zero > {place}/full"],
                check=False,
            )
            world.say()
            said = world.once().stderr
            assert running(host, "alice") == ""
            assert session.wait(10) == 255
        assert "state: cannot write /var/lib/ostiary/state.json: No space left on device" in said
        assert any("No space left" in one for one in world.peer.reports[-1][1].problems)
        host.run(["umount", place])
        assert world.once().stderr == ""
        assert host.run(["getent", "passwd", "alice"]).stdout.endswith("/usr/sbin/nologin\n")


def test_memberships_of_who_had_the_name_before_are_taken_away_before_anybody_enters(host):
    """/etc/group may name somebody whose account is gone, or is LDAP's: of sudo, of docker."""
    carl = HostUser("carl", 60003, 63003, "Carl")
    group = host.read("/etc/group").replace("sudo:x:27:", "sudo:x:27:carl")
    host.write("/etc/group", group + "docker:x:994:carl\n")
    assert apply(host, [ALICE, BOB, carl], [DEV]) == (["alice", "bob", "carl"], [])
    assert as_user(host, carl, "id", "-nG").stdout.split() == ["carl", "ostiary-managed"]
