"""Login events on their way from a host to the control plane: each is told once, whatever its disk does meanwhile."""

from __future__ import annotations

import pytest
from agent_world import entered
from hosts import wait_for
from test_agent_state import running

pytestmark = pytest.mark.root
PLACE = "/var/lib/ostiary"
LINE = "1\talice\t1.5\t192.0.2.1\taccepted\n"


@pytest.fixture
def world(tmp_path):
    with entered(tmp_path) as world:
        yield world


def left(world, name):
    return (world.host.root / PLACE[1:] / name).exists()


def enter_unwritten(world):
    """Come in where the spool has no room: it can only be counted."""
    spool = f"{PLACE}/spool"
    before = world.host.read(spool) if left(world, "spool") else ""
    world.host.write(spool, LINE * 140_000, 0o600)
    assert world.enter() == 0
    world.host.write(spool, before, 0o600)


def told(world):
    return [one for _, report in world.peer.reports for one in report.logins]


def test_where_the_disk_turns_read_only_while_they_are_sent_none_is_told_or_counted_twice(world):
    """The control plane has them, but what it took can be neither removed nor crossed off until the disk is written again."""
    host, peer = world.host, world.peer
    assert [world.enter(), world.break_glass()] == [0, 0]
    enter_unwritten(world)

    def turn_read_only(report):
        if report.logins:
            host.run(["mount", "--bind", PLACE, PLACE])
            host.run(["mount", "-o", "remount,bind,ro", PLACE])
            peer.before_thanks = lambda _: None

    def until_reported():
        generation = world.say(world.admin()).generation
        wait_for(lambda: peer.reports[-1][1].generation == generation, "a report", 30)

    peer.before_thanks = turn_read_only
    world.say(world.admin())  # or it would wait for news first
    log = host.root / "tmp/agent.log"
    with running(host):
        wait_for(lambda: "spool.sending: Read-only file system" in log.read_text(), "the fault", 30)
        until_reported()
        assert left(world, "spool.sending")
        host.run(["umount", PLACE])
        until_reported()
        wait_for(lambda: not left(world, "spool.sending"), "the end of it")
        assert world.enter() == 0
        until_reported()
    enter_unwritten(world)
    assert world.once().stderr == ""
    expected = ["accepted", "break-glass", "untold", "accepted", "untold"]
    assert [one.outcome for one in told(world)] == expected
    counts = {one.source for one in told(world) if one.outcome == "untold"}
    assert counts == {"1 logins, or tries of them, were not written down"}


def test_who_leaves_takes_events_along_that_nobody_took(world):
    def refuse(report):
        if report.logins:
            raise PermissionError("not now")

    assert world.enter() == 0
    world.peer.before_thanks = refuse
    assert world.once().returncode == 1
    assert left(world, "spool.sending")
    assert world.enter() == 0
    assert left(world, "spool")
    assert world.host.agent("remove").returncode == 0
    assert not [one for one in ("spool", "spool.sending", "untold", "ledger") if left(world, one)]
