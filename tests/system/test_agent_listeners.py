"""Every sshd that listens on a host: told of what changes, and trusted by nobody where it would not count certificates."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from accounts_world import ENV as PYTHON_ENV
from agent_world import CLOSED, REFUSED, entered
from hosts import PYTHON
from hosts_namespace import child_of, wait_for

pytestmark = pytest.mark.root
DROP_IN = "/etc/ssh/sshd_config.d/00-ostiary.conf"
SECOND = ("-p", "2222")


@pytest.fixture
def world(tmp_path):
    with entered(tmp_path) as world:
        yield world


def test_an_sshd_that_was_started_without_pam_lets_ours_in_no_more(world):
    """As by SSHD_OPTS of /etc/default/ssh: the files still say UsePAM yes, and nothing would count."""
    made = world.made()
    assert [world.enter(made), world.enter(made)] == [0, REFUSED]
    world.host.start_sshd("-o", "UsePAM no")
    said = world.once().stderr
    assert "was started with UsePAM no, so nobody counts certificates there" in said
    assert world.enter() == CLOSED
    assert world.break_glass() == 0
    world.host.start_sshd()
    assert world.once().stderr == ""
    assert world.enter() == 0


def test_one_that_trusts_us_only_after_our_files_are_there_opens_nothing(world):
    world.host.agent("remove")
    world.host.start_sshd("-D", "-oUsePAM=no")
    world.id = world.peer.enroll(world.host, "--break-glass-account", "root")
    world.say(world.admin())
    assert "so nobody counts certificates there" in world.once().stderr
    assert world.enter() == CLOSED


def test_a_second_sshd_by_another_name_asks_another_pam_service(world):
    world.host.run(["ln", "-s", "/usr/sbin/sshd", "/usr/local/sbin/sshd-admin"])
    with world.sshd("/usr/local/sbin/sshd-admin", *SECOND):
        said = world.once().stderr
        assert "uses the PAM service sshd-admin, so nobody counts certificates there" in said
        assert [world.enter(before=SECOND), world.enter()] == [CLOSED, CLOSED]
    assert world.once().stderr == ""


def test_a_second_sshd_of_the_same_files_counts_and_is_told_of_what_changes(world):
    with world.sshd("/usr/sbin/sshd", *SECOND):
        assert world.once().stderr == ""
        made = world.made()
        assert [world.enter(made, before=SECOND), world.enter(made)] == [0, REFUSED]
        world.host.run(["rm", DROP_IN])
        world.host.run(["sh", "-c", "kill -HUP $(cat /run/sshd.pid) $(cat /run/another.pid)"])
        assert world.once().stderr == ""
        assert [world.enter(before=SECOND), world.enter()] == [0, 0]


def test_a_second_sshd_with_files_of_its_own_is_nobodys_business(world):
    world.host.write("/etc/ssh/own", "UsePAM no\nHostKey /etc/ssh/ssh_host_ed25519_key\n")
    with world.sshd("/usr/sbin/sshd", "-f", "/etc/ssh/own", *SECOND):
        assert world.once().stderr == ""
        assert [world.enter(before=SECOND), world.enter()] == [CLOSED, 0]


def test_an_sshd_of_a_container_is_left_alone(world):
    """Its processes are seen by the host, its /etc/ssh is another, and the first of all is not the host's by its number."""
    box = "mount -t tmpfs none /etc/ssh && cp -a /run/ssh/. /etc/ssh && exec /usr/sbin/sshd -D"
    world.host.run(["cp", "-a", "/etc/ssh", "/run/ssh"])
    options = "-p 2222 -o UsePAM=no -o PidFile=/run/box.pid -E /run/box.log"
    boxed = world.host.popen(["unshare", "--mount", "sh", "-c", f"{box} {options}"])
    try:
        world.host.run(["sh", "-c", "while ! [ -e /run/box.pid ]; do sleep 0.1; done"])
        world.host.run(["rm", DROP_IN])
        assert world.once().stderr == ""
        assert world.enter() == 0
        assert "SIGHUP" not in world.host.read("/run/box.log")
    finally:
        world.host.run(["sh", "-c", "kill $(cat /run/box.pid)"])
        boxed.wait(10)


FORGED = """
import fcntl, os, sys
end, full = os.pipe()
fcntl.fcntl(full, fcntl.F_SETFL, os.O_NONBLOCK)
for size in (4096, 1):
    try:
        while os.write(full, b"x" * size):
            pass
    except BlockingIOError:
        pass
fcntl.fcntl(full, fcntl.F_SETFL, 0)
os.set_inheritable(end, True)
os.dup2(full, 2)
os.execv("/usr/bin/passwd", ["/x/sshd", *sys.argv[1:]])
"""


def runs(host, called):
    return host.run(["pgrep", "-f", called], check=False).returncode == 0


@pytest.fixture
def forged(world):
    """Have alice start a setuid program that is called as sshd with these options is, and waits for somebody to read."""
    with contextlib.ExitStack() as ending:

        def start(*options):
            alice = ["setpriv", "--reuid", "60001", "--regid", "63001", "--init-groups", "--"]
            running = world.host.popen(
                [*alice, PYTHON, "-c", FORGED, *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            ending.callback(running.wait, 10)
            ending.callback(lambda: os.kill(child_of(running.pid), signal.SIGKILL))
            called = " ".join(("^/x/sshd", *options))
            wait_for(lambda: runs(world.host, called), "the setuid program")

        yield start


def test_a_setuid_program_that_is_called_as_an_sshd_locks_nobody_out(world, forged):
    forged("-o", "UsePAM=no")
    assert world.once().stderr == ""
    assert world.enter() == 0


def test_a_setuid_program_that_is_called_as_an_sshd_has_root_read_nothing(world, forged):
    """Of a pipe: root's sshd would take what it is told there, and the agent would wait for it."""
    pipe = "/tmp/pipe"
    world.host.run(["sh", "-c", f"mkfifo {pipe} && chown 60001 {pipe}"])
    forged("-f", pipe)
    began = time.monotonic()
    assert world.once().stderr == ""
    assert time.monotonic() - began < 30
    assert world.enter() == 0


SOON = """
from ostiary.doors.servers.agent import __main__ as agent, sshd
sshd.OTHERS_SECONDS = 2.0
agent.main(["once"])
"""


def test_a_second_sshd_that_does_not_say_what_it_does_keeps_nobody_in(world):
    """As one whose file is on a disk that hangs: who is gone has no way in before anybody asks it, and it is told of."""
    own, alice = "/etc/ssh/own", world.host.root / "etc/ssh/ostiary/principals/alice"
    world.host.write(own, "HostKey /etc/ssh/ssh_host_ed25519_key\n")
    with world.sshd("/usr/sbin/sshd", "-f", own, *SECOND), ThreadPoolExecutor(1) as pool:
        world.host.run(["sh", "-c", f"rm {own} && mkfifo {own}"])
        assert alice.exists()
        world.say()
        once = pool.submit(world.host.run, [PYTHON, "-c", SOON], env=PYTHON_ENV)
        wait_for(lambda: runs(world.host, f"sshd -T.* -f {own}"), "a look at the other sshd")
        assert not alice.exists()
        assert "options of its own, and sshd does not say in time" in once.result().stderr
