"""Every sshd that listens on a host: told of what changes, and trusted by nobody where it would not count certificates."""

from __future__ import annotations

import pytest
from agent_world import CLOSED, REFUSED, entered

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
