"""A login that finds no room in the spool goes on, and the control plane hears that there was one."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pytest

from ostiary.doors.servers.agent import hook, spool, untold
from ostiary.doors.servers.agent.files import Paths
from ostiary.doors.servers.wire.host import HostReport, Login
from ostiary.doors.servers.wire.message import decode, encode


@pytest.fixture
def paths(tmp_path):
    return Paths(var=tmp_path)


@pytest.fixture
def full(paths, monkeypatch):
    """A spool with three events and no room for another."""
    lines = "".join(f"{number}\ta\t{number}.5\tx\taccepted\n" for number in range(3))
    monkeypatch.setattr(hook, "MOST_SPOOLED", len(lines))
    paths.spool.write_text(lines)
    return paths


def said(events):
    return [(one.serial, one.outcome, one.source) for one in events]


def words(number):
    return f"{number} logins, or tries of them, were not written down"


def test_what_found_no_room_is_told_behind_what_did(full):
    began = int(time.time())
    for serial in (7, 8):
        hook.tell(str(full.var), serial, "accepted")
    shipping = spool.Spool(full)
    events, offset = shipping.take()
    expected = [(str(number), "accepted", "x") for number in range(3)]
    assert said(events) == [*expected, ("", "untold", words(2))]
    assert began <= events[-1].time <= time.time()
    assert shipping.take() == (events, offset)  # an answer was lost: the same to the byte
    shipping.shipped(offset)
    assert shipping.take() == ((), 0)
    hook.tell(str(full.var), 9, "accepted")
    assert said(shipping.take()[0]) == [("9", "accepted", "")]


def test_what_is_lost_while_it_is_told_is_told_next(full):
    hook.tell(str(full.var), 7, "accepted")
    shipping = spool.Spool(full)
    _, offset = shipping.take()
    full.spool.write_text("x" * hook.MOST_SPOOLED)
    for serial in (8, 9, 10):
        hook.tell(str(full.var), serial, "accepted")
    shipping.shipped(offset)
    assert said(spool.Spool(full).take()[0]) == [("", "untold", words(3))]


def test_what_was_told_and_could_not_be_crossed_off_is_not_told_again(full):
    for serial in (7, 8):
        hook.tell(str(full.var), serial, "accepted")
    shipping = spool.Spool(full)
    _, offset = shipping.take()
    counted = full.untold.rename(full.var / "counted")
    full.untold.mkdir()
    with pytest.raises(OSError, match=os.strerror(errno.EISDIR)):
        shipping.shipped(offset)
    assert shipping.take() == ((), 0)
    full.untold.rmdir()
    counted.rename(full.untold)
    hook.untold(str(full.untold))
    assert said(shipping.take()[0]) == [("", "untold", words(1))]
    shipping.shipped(0)
    assert untold.read(full)[0] == 0


def test_a_report_never_holds_more_than_is_taken_at_once(paths, monkeypatch):
    monkeypatch.setattr(spool, "MOST", 2)
    paths.spool.write_text("".join(f"{number}\ta\t1.5\tx\taccepted\n" for number in range(3)))
    hook.untold(str(paths.untold))
    shipping = spool.Spool(paths)
    sizes = []
    while (taken := shipping.take())[0]:
        sizes.append([one.outcome for one in taken[0]])
        shipping.shipped(taken[1])
    assert sizes == [["accepted"] * 2, ["accepted", "untold"]]


def test_many_hooks_at_once_lose_no_count(paths):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: hook.untold(str(paths.untold)), range(200)))
    assert untold.read(paths)[0] == 200


def test_it_is_a_message_that_a_control_plane_takes(paths):
    event = untold.event(2**40, int(time.time()))
    report = HostReport(1, (), 1.0, logins=(event,))
    assert decode(HostReport, encode(report)).logins == (event,)
    assert asdict(event).keys() == asdict(Login("1", "a", 1.0, "x", "accepted")).keys()


WRITE_ON_A_FULL_DISK = """
import resource, signal, sys
from ostiary.doors.servers.agent import hook
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
hook.tell(sys.argv[1], 2**62, "accepted")
"""


def on_a_full_disk(paths, room):
    """The hook, where no file can become longer than ``room`` bytes; what is there can be written over."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    argv = [sys.executable, "-c", WRITE_ON_A_FULL_DISK, str(paths.var), str(room)]
    subprocess.run(argv, env=os.environ | {"PYTHONPATH": ":".join(sys.path)}, check=True)


def test_on_a_full_disk_the_count_needs_no_room(paths):
    untold.begin(paths)
    on_a_full_disk(paths, paths.untold.stat().st_size)
    assert untold.read(paths)[0] == 1


def test_a_line_that_was_cut_spoils_no_other(paths):
    untold.begin(paths)
    paths.spool.write_text("1\ta\t1.5\tx\taccepted\n" * 4)
    on_a_full_disk(paths, paths.spool.stat().st_size + 5)
    assert paths.spool.read_text().endswith("\n46116")
    hook.tell(str(paths.var), 3, "replayed")
    events = said(spool.Spool(paths).take()[0])
    assert events[4:] == [("3", "replayed", ""), ("", "untold", words(1))]


@pytest.mark.parametrize("text", ["", "x y\n", "1\n", "\0" * 42, "1 2 3\n", "9" * 99])
def test_a_count_that_cannot_be_read_begins_anew_and_hinders_nobody(full, text):
    full.untold.write_text(text)
    assert untold.read(full)[0] == 0
    for number in (1, 2):
        hook.tell(str(full.var), 7, "accepted")
        assert untold.read(full)[0] == number
    assert len(spool.Spool(full).take()[0]) == 4


def test_where_nothing_can_be_written_the_login_goes_on(full):
    full.untold.mkdir()
    hook.tell(str(full.var), 7, "accepted")
    assert len(spool.Spool(full).take()[0]) == 3
    full.untold.rmdir()
    full.untold.symlink_to(full.var / "elsewhere")
    hook.tell(str(full.var), 7, "accepted")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        untold.begin(full)
    assert not (full.var / "elsewhere").exists()
