"""What a clumsy hand did to the agent's files: mended where they are ours, told where they are not, and never a door left open."""

from __future__ import annotations

import pytest
from accounts_world import exists
from agent_world import CLOSED, REFUSED, entered
from host_control import user
from hosts import PYTHON, TOP

from ostiary.doors.servers.wire.host import Entry

pytestmark = pytest.mark.root
ETC, VAR = "/etc/ssh/ostiary", "/var/lib/ostiary"
PRINCIPALS = f"{ETC}/principals"


@pytest.fixture
def world(tmp_path):
    with entered(tmp_path) as world:
        world.say(world.admin(), user("carol", 60002, server_id=world.id))
        assert world.once().stderr == ""
        yield world


def test_files_that_were_given_to_somebody_are_taken_back(world):
    """A backup that was unpacked by somebody else: sshd reads nothing there, and the guard would be theirs to write."""
    world.host.run(["chown", "-R", "games", ETC])
    assert (world.enter(), world.break_glass()) == (CLOSED, CLOSED)
    assert world.once().stderr == ""
    assert (world.enter(), world.break_glass()) == (0, 0)
    assert world.host.run(["find", ETC, "!", "-user", "root"]).stdout == ""


def test_a_principals_file_that_was_given_to_its_user_is_taken_back(world):
    """sshd would read it, and so they would say themselves what their certificate may."""
    world.host.run(["chown", "alice", f"{PRINCIPALS}/alice"])
    assert world.once().stderr == ""
    assert (world.host.root / PRINCIPALS[1:] / "alice").stat().st_uid == 0


def test_a_group_that_was_deleted_is_not_in_force_and_made_again(world):
    """Without it sshd takes LocalUsers for others, whose own keys count."""
    keys = "/home/alice/.ssh/authorized_keys"
    world.host.run(["install", "-d", "-m", "700", "-o", "alice", "/home/alice/.ssh"])
    world.host.write(keys, world.person.key.with_name("key.pub").read_text())
    world.host.run(["chown", "alice", keys])
    stranger = world.made(
        "alice", world.peer.host
    )  # whom no sshd trusts, so that the key alone decides
    assert world.enter(stranger) == CLOSED
    world.host.run(["groupdel", "ostiary-managed"])
    assert world.enter(stranger) == 0
    assert '"in_force": false' in world.host.agent("status", "--json").stdout
    assert world.once().stderr == ""
    assert (world.enter(stranger), world.enter()) == (CLOSED, 0)


def test_a_link_in_the_place_of_a_file_is_made_a_file(world):
    world.host.run(["sh", "-c", f"cd {PRINCIPALS} && cp alice /tmp/x && ln -sf /tmp/x alice"])
    assert world.once().stderr == ""
    assert not (world.host.root / PRINCIPALS[1:] / "alice").is_symlink()


def test_a_folder_above_that_others_may_write_is_told(world):
    world.host.run(["chmod", "go+w", "/etc/ssh"])
    said = world.once().stderr
    assert "/etc/ssh is not root's alone to write, so sshd lets nobody in by a certificate" in said
    assert (world.enter(), world.break_glass()) == (CLOSED, CLOSED)
    world.host.run(["chmod", "go-w", "/etc/ssh"])
    assert world.once().stderr == ""
    assert world.enter() == 0


@pytest.mark.parametrize("first", ["a folder", "a file that cannot be removed"])
def test_what_stands_in_the_way_of_one_keeps_nobody_else_in(world, first):
    """Whoever comes after it in the folder's order would go on entering."""
    place = f"{PRINCIPALS}/aaa"
    if first == "a folder":
        world.host.run(["mkdir", place])
    else:
        world.host.write(place, "x\n")
        world.host.run(["mount", "--bind", place, place])  # busy, as chattr +i is not permitted
    world.say(world.admin())
    said = world.once().stderr
    assert not exists(world.host, f"{PRINCIPALS}/carol")
    assert world.enter(world.made("carol"), login="carol") == CLOSED
    assert ("cannot remove" in said) == (first != "a folder")
    assert world.enter() == 0


def test_a_way_that_was_taken_is_closed_on_a_full_disk_too(world):
    """What is left cannot be written, so nothing is: less than one too many."""
    ways = (Entry(f"carol@{world.id}"), Entry(f"carol@{world.id}.hop", hop=True, forward=("*:22",)))
    both = user("carol", 60002, server_id=world.id, entries=ways)
    world.say(world.admin(), both)
    assert world.once().stderr == ""
    host = world.host
    host.run(["cp", "-a", PRINCIPALS, "/root/kept"])
    host.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=755", "none", PRINCIPALS])
    host.run(
        [
            "sh",
            "-c",
            f"cp -a /root/kept/. {PRINCIPALS}; mkdir {PRINCIPALS}/a; cat /dev/zero > {PRINCIPALS}/a/x",
        ],
        check=False,
    )
    world.say(world.admin(), user("carol", 60002, server_id=world.id, entries=ways[:1]))
    said = world.once().stderr
    assert "No space left" in said
    text = host.read(f"{PRINCIPALS}/carol") if exists(host, f"{PRINCIPALS}/carol") else ""
    assert ".hop" not in text
    assert world.enter() == 0


def test_a_disk_that_became_read_only_ends_no_agent(world):
    """With login events on it that wait to be shipped."""
    assert world.enter() == 0
    world.host.run(["mount", "--bind", VAR, VAR])
    world.host.run(["mount", "-o", "remount,bind,ro", VAR])
    done = world.once()
    assert "Traceback" not in done.stderr
    assert "login events: /var/lib/ostiary/spool: Read-only file system" in done.stderr
    assert world.enter() == REFUSED
    world.host.run(["umount", VAR])
    world.say(world.admin())
    assert world.once().stderr == ""
    assert [one.outcome for one in world.peer.reports[-1][1].logins] == ["accepted"]


def test_a_kill_before_sshd_is_told_of_closed_ways_is_made_good(world):
    """The drop-in is there, and what listens has not read it."""
    host = world.host
    host.run(["useradd", "-m", "dave"])
    host.run(["chpasswd"], stdin="dave:correct horse\n")
    assert world.enter() == 0  # a certificate let somebody in
    held = world.peer.says[
        world.id
    ]  # but for the ways all is as before, so that sshd is told of nothing else
    world.say(*held.users, other_ways="close", host_certificate=held.host_certificate)
    argv = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=kill:signal=KILL", PYTHON]
    env = {"PYTHONPATH": str(TOP / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    agent = ["-m", "ostiary.doors.servers.agent", "once"]
    assert host.run([*argv, *agent], env=env, check=False).returncode
    assert exists(host, "/etc/ssh/sshd_config.d/01-ostiary-other-ways.conf")
    before = host.sshd_log.count("Received SIGHUP")
    assert world.once().stderr == ""
    assert host.sshd_log.count("Received SIGHUP") == before + 1
    assert not exists(host, f"{VAR}/sshd-unread")


def test_who_has_a_line_in_the_hosts_own_sudoers_waits_until_it_is_gone(world):
    """Of cloud-init or somebody who left; who entered before is not put out by what root gives."""
    local = "/etc/sudoers.d/90-cloud-init-users"
    world.host.write(local, "dave ALL=(ALL) NOPASSWD:ALL\ncarol ALL=(ALL) NOPASSWD:ALL\n", 0o440)
    people = [world.admin()]
    people += [
        user(login, uid, server_id=world.id) for login, uid in (("carol", 60002), ("dave", 60003))
    ]
    world.say(*people)
    why = "the host's own sudoers give rights to dave, which no rule does: take that out"
    assert f"dave: {why}\n" in world.once().stderr
    assert {
        one: exists(world.host, f"{PRINCIPALS}/{one}") for one in ("alice", "carol", "dave")
    } == {
        "alice": True,
        "carol": True,
        "dave": False,
    }
    world.host.run(["rm", local])
    assert world.once().stderr == ""
    assert world.enter(world.made("dave"), login="dave") == 0


@pytest.mark.parametrize("line", ["dave", "Dave", "%dave", "%DAVE", "%#63003"])
def test_nobody_gets_root_by_a_line_that_waited_for_their_name(world, line):
    world.host.write("/etc/sudoers.d/local", f"{line} ALL=(ALL) NOPASSWD:ALL\n", 0o440)
    world.say(world.admin(), user("dave", 60003, server_id=world.id))
    assert f"dave: the host's own sudoers give rights to {line}, " in world.once().stderr
    assert world.enter(world.made("dave"), "sudo", "-n", "id", "-u", login="dave") == CLOSED
    assert world.enter() == 0
