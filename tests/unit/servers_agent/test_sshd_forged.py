"""Processes of root's that are called as a listening sshd is and are none: their options would become those of root's sshd."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from ostiary.doors.servers.agent.sshd_listeners import words

pytestmark = pytest.mark.root
SOMEBODY = 60999
TITLE = "sshd: /x/sshd -o UsePAM=no [listener]"
WORDS = ["/x/sshd", "-o", "UsePAM=no"]


@pytest.fixture
def place():
    """A folder from which everybody may start programs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def started():
    """Start a program with TITLE for its argv[0], and wait until it runs; its process id."""
    running = []

    def start(program, **options):
        running.append(subprocess.Popen([TITLE, "100"], executable=program, **options))
        pid = running[-1].pid
        end = time.monotonic() + 10
        while TITLE.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
            assert time.monotonic() < end
            time.sleep(0.01)
        return pid

    yield start
    for one in running:
        one.kill()
        one.wait()


def program(folder, name, mode=0o755, owner=0):
    made = Path(shutil.copy("/bin/sleep", folder / name))
    os.chown(made, owner, owner)
    made.chmod(mode)
    return made


@pytest.mark.parametrize("name", ["passwd", "sshd"])
def test_a_setuid_program_that_somebody_started_is_none(place, started, name):
    """It is root's by its effective uid and in /proc, and keeps the argv that he gave."""
    somebody = {"user": SOMEBODY, "group": SOMEBODY, "extra_groups": ()}
    pid = started(program(place, name, 0o4755), **somebody)
    assert Path(f"/proc/{pid}").stat().st_uid == 0
    assert words(pid) == []


def test_a_program_that_made_all_its_uids_roots_is_none(place, started):
    """As sudo does before it asks for a password."""
    assert words(started(program(place, "sudo"))) == []


@pytest.mark.parametrize(("mode", "owner"), [(0o755, SOMEBODY), (0o777, 0), (0o775, 0)])
def test_a_program_that_others_own_or_write_is_none(place, started, mode, owner):
    assert words(started(program(place, "sshd", mode, owner))) == []


def test_sshd_is_one_also_when_its_file_was_replaced(place, started):
    file = program(place, "sshd")
    pid = started(file)
    assert words(pid) == WORDS
    file.unlink()
    assert words(pid) == WORDS
