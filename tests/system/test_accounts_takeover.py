"""Taking over accounts that were there before: only with a reviewed plan, only what is no system's, and back again."""

from __future__ import annotations

import json

import pytest
from accounts_world import ENV, FULL, OWNED, apply, in_host, lines_of, python, sound, text
from hosts import PYTHON, Fleet

from ostiary.doors.servers.wire.host import HostGroup, HostUser

pytestmark = pytest.mark.root

DEV = HostGroup("dev", 63100)
DAVE = HostUser("dave", 60001, 63001, "Dave", groups=("dev",))
ERIN = HostUser("erin", 60002, 63002, "Erin")
PLAN = f"""
import json, sys
from pathlib import Path
from ostiary.doors.servers.agent import accounts_takeover as takeover
from ostiary.doors.servers.agent import accounts_takeover_plan as plan
from ostiary.doors.servers.wire.host import HostState
from ostiary.doors.servers.wire.message import decode
state = decode(HostState, sys.stdin.buffer.read())
owned, places = Path("{OWNED}"), ["/home", "/srv", "/var/tmp"]
if sys.argv[1] == "plan":
    Path("/root/plan").write_text(plan.plan(state.users, owned, places).as_json())
elif sys.argv[1] == "apply":
    print(json.dumps(takeover.apply(plan.Plan.read(Path("/root/plan")), state.users, owned)))
else:
    takeover.back(sys.argv[1], owned)
"""
STRACE = ["strace", "-f", "-qq", "-o", "/run/strace"]


@pytest.fixture
def host():
    with Fleet(["old1"]) as fleet:
        host = fleet["old1"]
        host.run(["sh", "-c", "mount -t tmpfs srv /srv; mkdir -p /var/tmp /var/lib/ostiary"])
        host.run(
            ["useradd", "-m", "-u", "1500", "-s", "/bin/bash", "-c", "old", "-G", "staff", "dave"]
        )
        host.run(["useradd", "-m", "-u", "1600", "-g", "users", "erin"])
        host.run(["chpasswd"], stdin="dave:correct horse\n")
        host.run(
            [
                "sh",
                "-c",
                "echo a > /home/dave/a; ln -s /etc/shadow /home/dave/link; mkdir /srv/data; echo b > /srv/data/b",
            ]
        )
        host.run(["sh", "-c", "echo r > /srv/data/roots; ln /home/dave/a /home/dave/hard"])
        host.run(
            [
                "sh",
                "-c",
                "chown -h dave:dave /home/dave/* /srv/data /srv/data/b; chown root:dave /srv/data/roots",
            ]
        )
        yield host


def takeover(host, what, users=(DAVE,), wrapper=(), check=True):
    argv = [*wrapper, PYTHON, "-c", PLAN, what]
    done = host.run(argv, stdin=text(users, [DEV]), env=ENV, check=check)
    return json.loads(done.stdout) if done.stdout else []


def approve(host, *logins):
    plan = json.loads(host.read("/root/plan"))
    host.write("/root/plan", json.dumps({**plan, "approve": list(logins)}))
    return {one["login"]: one for one in plan["accounts"]}


def owner(host, path):
    there = in_host(host, path).lstat()
    return there.st_uid, there.st_gid


def everything(host):
    files = {
        name: lines_of(host, name, "dev", "ostiary-managed")
        for name in ("passwd", "shadow", "group", "gshadow")
    }
    places = (
        "/home/dave",
        "/home/dave/a",
        "/home/dave/link",
        "/srv/data",
        "/srv/data/b",
        "/srv/data/roots",
    )
    return files, {path: owner(host, path) for path in places}


def test_a_plan_shows_who_and_which_files_and_changes_nothing(host):
    before = everything(host)
    takeover(host, "plan", [DAVE, ERIN])
    found = approve(host)
    dave = found["dave"]
    assert (dave["uid"], dave["new_uid"], dave["gid"], dave["new_gid"]) == (
        1500,
        60001,
        1500,
        63001,
    )
    assert dave["groups"] == ["staff"]
    assert dave["files"] == 9
    assert "/srv/data/b" in dave["first_files"]
    assert dave["refused"] == found["erin"]["refused"] == ""
    assert everything(host) == before


def test_without_approval_nothing_is_taken_over(host):
    before = everything(host)
    takeover(host, "plan")
    assert takeover(host, "apply") == [[], []]
    assert everything(host) == before
    assert apply(host, [DAVE], [DEV])[1] == [
        "dave: an account dave with UID 1500 exists and is not ours"
    ]


def test_who_is_approved_is_taken_over_with_all_files_and_led_back(host):
    before = everything(host)
    takeover(host, "plan", [DAVE, ERIN])
    approve(host, "dave")
    assert takeover(host, "apply", [DAVE, ERIN]) == [["dave"], []]
    for path in ("/home/dave", "/home/dave/a", "/home/dave/link", "/srv/data", "/srv/data/b"):
        assert owner(host, path) == (60001, 63001)
    assert owner(host, "/srv/data/roots") == (0, 63001)
    assert owner(host, "/etc/shadow")[0] == 0
    entering, problems = apply(host, [DAVE, ERIN], [DEV])
    assert entering == ["dave"]
    assert problems == ["erin: an account erin with UID 1600 exists and is not ours"]
    assert host.run(["id", "-nG", "dave"]).stdout.split() == ["dave", "ostiary-managed", "dev"]
    assert sound(host) == ""
    takeover(host, "dave")
    assert everything(host) == before
    assert "dave" not in host.read(OWNED)


def test_who_was_removed_after_the_takeover_can_be_led_back_too(host):
    before = everything(host)
    takeover(host, "plan")
    approve(host, "dave")
    takeover(host, "apply")
    apply(host, [DAVE], [DEV])
    host.run(["install", "-d", "-o", "dave", "/home/dave/.ssh"])
    host.write("/home/dave/.ssh/authorized_keys", "his\n")
    apply(host, [])
    assert host.run(["getent", "shadow", "dave"]).stdout.split(":")[1].startswith("!")
    takeover(host, "dave")
    assert everything(host) == before
    assert host.read("/home/dave/.ssh/authorized_keys") == "his\n"


def test_whoever_was_taken_over_is_led_back_when_the_agent_leaves(host):
    before = everything(host)
    takeover(host, "plan", [DAVE, ERIN])
    approve(host, "dave", "erin")
    assert takeover(host, "apply", [DAVE, ERIN]) == [["dave", "erin"], []]
    apply(host, [DAVE, ERIN], [DEV])
    leaving = (
        "from ostiary.doors.servers.agent import leave\nfrom ostiary.doors.servers.agent.files import Paths\n"
        "print(leave.remove(Paths(), retire=False, say=print))"
    )
    assert python(host, leaving).stdout == "()\n"
    assert everything(host) == before
    assert host.run(["id", "-u", "erin"]).stdout == "1600\n"


def test_a_shared_primary_group_keeps_its_files(host):
    takeover(host, "plan", [ERIN])
    approve(host, "erin")
    host.run(["sh", "-c", "touch /srv/shared; chown root:users /srv/shared"])
    assert takeover(host, "apply", [ERIN]) == [["erin"], []]
    assert owner(host, "/srv/shared") == (0, 100)
    assert host.run(["id", "-ng", "erin"]).stdout == "erin\n"
    takeover(host, "erin", [ERIN])
    assert host.run(["id", "-ng", "erin"]).stdout == "users\n"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("usermod -u 1501 dave", "not as planned"),
        ("userdel dave", "the account is gone"),
        ("useradd -u 60001 other", "UID 60001 belongs to other"),
        ("groupadd -g 63001 other", "GID 63001 belongs to group other"),
        ("setpriv --reuid 1500 --clear-groups setsid -f sleep 60 >/dev/null 2>&1", "it is in use"),
    ],
)
def test_what_changed_since_the_plan_is_left_alone(host, change, why):
    takeover(host, "plan")
    approve(host, "dave")
    host.run(["sh", "-c", change])
    before = {name: host.read(f"/etc/{name}") for name in ("passwd", "group", "shadow")}
    taken, problems = takeover(host, "apply")
    assert taken == []
    assert why in problems[0]
    assert {name: host.read(f"/etc/{name}") for name in before} == before
    host.run(["pkill", "-u", "1500"], check=False)


@pytest.mark.parametrize("uid", ["0", "499", "999", "60100", "61200", "65534"])
def test_accounts_of_the_system_are_refused_whoever_approves(host, uid):
    """Negative test 19."""
    host.run(["useradd", "-o", "-u", uid, "-N", "zed"])
    zed = HostUser("zed", 60003, 63003, "")
    takeover(host, "plan", [zed])
    assert approve(host, "zed")["zed"]["refused"]
    before = host.read("/etc/passwd")
    taken, problems = takeover(host, "apply", [zed])
    assert taken == []
    assert len(problems) == 1
    assert host.read("/etc/passwd") == before


def test_a_name_that_the_project_does_not_ask_for_is_not_taken(host):
    takeover(host, "plan")
    approve(host, "dave", "root", "erin")
    taken, problems = takeover(host, "apply", [ERIN])
    assert taken == []
    assert len(problems) == 3
    assert owner(host, "/home/dave") == (1500, 1500)


@pytest.mark.chaos
@pytest.mark.parametrize("call", ["rename", "fsync", "chown", "fchownat"])
def test_a_takeover_that_is_killed_goes_on_and_still_leads_back(host, call):
    before = everything(host)
    for nth in range(1, 9) if FULL else (1, 3):
        takeover(host, "plan")
        approve(host, "dave")
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={nth}"]
        takeover(host, "apply", wrapper=[*STRACE, *inject], check=False)
        assert takeover(host, "apply") == [["dave"], []]
        assert owner(host, "/srv/data/b") == (60001, 63001)
        assert apply(host, [DAVE], [DEV]) == (["dave"], [])
        takeover(host, "dave", wrapper=[*STRACE, *inject], check=False)
        if "dave" in host.read("/var/lib/ostiary/taken-over.json"):
            takeover(host, "dave")
        assert everything(host) == before
        assert sound(host) == ""


COMMAND = """
import argparse, sys
from ostiary.doors.servers.agent import discover_command
from ostiary.doors.servers.agent.files import Paths
parser = argparse.ArgumentParser()
discover_command.add(parser.add_subparsers(required=True))
given = parser.parse_args()
sys.exit(given.work(given, Paths()))
"""
KEEP = """
import sys
from pathlib import Path
from ostiary.doors.servers.agent import state
from ostiary.doors.servers.wire.host import HostState
from ostiary.doors.servers.wire.message import decode
state.keep(Path("/var/lib/ostiary/state.json"), decode(HostState, sys.argv[1].encode()))
"""


def test_names_of_files_and_processes_forge_no_line_of_a_plan(host):
    """They are chosen by whose account it is, and read by root at a terminal."""
    forged = "x\nerin  UID 0 -> 0\x1b[2J"
    host.run(["sh", "-c", 'cd /home/dave && touch "$1" "$(printf "a\\377")"', "sh", forged])
    host.run(["sh", "-c", 'chown -R dave /home/dave; cp /bin/sleep "$1"', "sh", "/tmp/\x1b[2J"])
    number = ["setpriv", "--reuid", "1500", "--clear-groups", "/tmp/\x1b[2J", "99"]
    running = host.popen(number)
    python(host, KEEP, text([DAVE], [DEV]))
    try:
        said = python(host, COMMAND, "takeover", "--plan", "/root/plan", "--place", "/home").stdout
        approve(host, "dave")
        done = python(host, COMMAND, "takeover", "--apply", "/root/plan", check=False)
    finally:
        running.kill()
        running.wait(10)
    assert "?[2J" in said
    assert [line for line in said.splitlines() if line.startswith("erin")] == []
    assert "is in use: ?[2J" in done.stderr
    assert "\x1b" not in said + done.stderr


def test_the_whole_of_it_by_command(host):
    python(host, KEEP, text([DAVE], [DEV]))
    said = python(host, COMMAND, "takeover", "--plan", "/root/plan", "--place", "/home")
    assert said.stdout.startswith("dave  UID 1500 -> 60001  GID 1500 -> 63001  /home/dave\n")
    nobody = python(host, COMMAND, "takeover", "--apply", "/root/plan", check=False)
    assert "nobody is approved" in nobody.stderr
    approve(host, "dave")
    assert python(host, COMMAND, "takeover", "--apply", "/root/plan").stdout == "took over dave\n"
    python(host, COMMAND, "takeover", "--back", "dave")
    assert owner(host, "/home/dave") == (1500, 1500)


def test_files_of_containers_are_not_the_users(host):
    host.run(
        [
            "sh",
            "-c",
            "mkdir -p /var/lib/docker/x /var/lib/theirs; chown 1500 /var/lib/docker/x /var/lib/theirs",
        ]
    )
    looking = (
        "from ostiary.doors.servers.agent import accounts_files as files\n"
        "print(files.owned(['/var/lib'], 1500, 9), files.hand_over(['/var/lib'], (1500, 60001), (-1, -1)))"
    )
    assert python(host, looking).stdout == "(1, ('/var/lib/theirs',)) 1\n"
    assert owner(host, "/var/lib/docker/x")[0] == 1500


RACE = """
import os, threading
from ostiary.doors.servers.agent.accounts_files import hand_over
os.makedirs("/srv/race/inner"); os.chown("/srv/race", 1500, 1500)
open("/srv/roots", "w").close(); os.mkdir("/srv/rootdir"); open("/srv/rootdir/f", "w").close()
stop = threading.Event()
def swap():
    names = ("/srv/race/file", "/srv/race/link", "/srv/race/folder")
    while not stop.is_set():
        for other in (True, False):
            for name in names:
                try:
                    os.rmdir(name) if os.path.isdir(name) and not os.path.islink(name) else os.unlink(name)
                except FileNotFoundError:
                    pass
            if other:
                os.link("/srv/roots", names[0]); os.symlink("/srv/roots", names[1]); os.symlink("/srv/rootdir", names[2])
            else:
                for name in names[:2]:
                    open(name, "w").close(); os.chown(name, 1500, 1500)
                os.mkdir(names[2]); os.chown(names[2], 1500, 1500)
thread = threading.Thread(target=swap); thread.start()
try:
    given = 0
    while given < 50:
        given += hand_over(["/srv/race"], (1500, 60001), (-1, -1))
finally:
    stop.set(); thread.join()
print(given, os.stat("/srv/roots").st_uid, os.stat("/srv/rootdir").st_uid, os.stat("/srv/rootdir/f").st_uid)
"""


def test_files_swapped_for_others_while_they_are_handed_over_stay_whose_they_are(host):
    """Negative test 20: hard links, links and folders of root's come and go under the walk."""
    given, *owners = python(host, RACE).stdout.split()
    assert int(given) >= 50
    assert owners == ["0", "0", "0"]
