"""Looking at what sshd makes of the options of others: all looks together end, and one that hangs hides no other."""

import time

import pytest

from ostiary.doors.servers.agent import sshd, sshd_uncounted
from ostiary.doors.servers.agent.files import Paths
from ostiary.doors.servers.agent.sshd_listeners import Listener

SSHD = """#!/bin/sh
case "$*" in *slow*) exec sleep 60;; *refused*) exit 255;; *pam*) echo usepam no;; *) echo usepam yes;; esac
echo trustedusercakeys {}
"""


@pytest.fixture
def look(tmp_path, monkeypatch):
    """Look at listeners that were started with these values of ``-f``: why not all count, and of which it is not known."""
    paths = Paths(etc=tmp_path / "etc")
    program = tmp_path / "sshd"
    program.write_text(SSHD.format(paths.authorities))
    program.chmod(0o755)
    monkeypatch.setattr(sshd, "program", lambda: str(program))
    monkeypatch.setattr(sshd, "OTHERS_SECONDS", 2.0)

    def looked(*told):
        found = [Listener(number, "sshd", ("-f", one)) for number, one in enumerate(told)]
        monkeypatch.setattr(sshd_uncounted, "listeners", lambda _: found)
        return sshd_uncounted.why(paths), sshd_uncounted.unknown(paths)

    return looked


def test_one_that_hangs_hides_no_other_and_is_told_of(look):
    began = time.monotonic()
    why, unknown = look("slow", "slow", "pam")
    assert time.monotonic() - began < 8
    assert "process id 2 was started with UsePAM no" in why
    assert [one.split(" was ")[0] for one in unknown] == [
        "the sshd with process id 0",
        "the sshd with process id 1",
    ]


def test_one_that_hangs_or_refuses_is_no_fault(look):
    why, unknown = look("slow", "refused", "fine")
    assert why == ""
    assert len(unknown) == 1
