"""The command line on a real terminal: it asks, draws a bar, and Ctrl-C once leaves a clean end."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest
from conftest import ESTATE, OSTIARY

PATIENCE = 60.0


def _heed_interrupts() -> None:
    """Who runs these tests in the background may have had Ctrl-C ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """One command on a pseudo-terminal of its own; ``seen`` is all that it wrote."""

    def __init__(self, sandbox, *arguments, **env) -> None:
        self._ours, theirs = pty.openpty()
        told = sandbox.described["env"] | {"HOME": str(sandbox.folder), "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            # the terminal becomes its own: Ctrl-C reaches the command and nothing else
            ["setsid", "--ctty", "--wait", OSTIARY, *arguments],
            cwd=sandbox.folder,
            env={"PATH": os.environ["PATH"], "COLUMNS": "120", **told, **env},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=_heed_interrupts,  # noqa: PLW1509 - no threads here
        )
        os.close(theirs)
        self.seen = ""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert time.monotonic() < deadline, f"no {text!r} in\n{self.seen}"
            assert self._read(), f"it ended without {text!r}\n{self.seen}"

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> int:
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(timeout=PATIENCE)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], PATIENCE)
        try:
            chunk = os.read(self._ours, 65536) if ready else b""
        except OSError:  # what Linux answers when the other end is closed
            chunk = b""
        self.seen += chunk.decode(errors="replace").replace("\r\n", "\n")
        return bool(chunk)


@pytest.fixture
def slow(own_sandbox):
    """A sandbox in which every answer takes a while, and Acme's estate."""
    own_sandbox.up("--switch", "latency=0.05")
    shutil.copy(ESTATE, own_sandbox.folder / "estate.yaml")
    return own_sandbox


def test_asks_and_takes_only_yes(slow):
    terminal = Terminal(slow, "apply")
    terminal.wait_for("apply 220 changes to acme? (yes to go on)")
    assert "reading" in terminal.seen, "a bar while it reads"
    assert "\x1b[32m  + iam-role Administrator" in terminal.seen, "colours"
    terminal.type("y\n")
    assert terminal.end() == 2, terminal.seen
    assert "nothing was written\n  why: the answer was not yes" in terminal.seen


def test_no_color(slow):
    terminal = Terminal(slow, "plan", NO_COLOR="1")
    assert terminal.end() == 0, terminal.seen
    assert "plan: 220 to create" in terminal.seen
    assert not re.search(r"\x1b\[[\d;]*3\dm", terminal.seen)


def test_one_interrupt_finishes_what_is_in_flight_and_says_what_is_left(slow):
    terminal = Terminal(slow, "apply", "--yes")
    terminal.wait_for("/220")
    terminal.type("\x03")
    assert terminal.end() == 130, terminal.seen
    assert "finishing what is in flight; once more to stop at once" in terminal.seen
    done, left = re.search(r"why: (\d+) done, (\d+) left", terminal.seen).groups()
    assert int(done) + int(left) == 220
    assert "fix: run: ostiary apply (what is done stays done)" in terminal.seen
    shown = slow.ostiary("plan")
    assert f"plan: {left} to create, {done} as wanted" in shown.stdout


def test_an_interrupt_while_reading_is_the_end(own_sandbox):
    own_sandbox.up("--switch", "latency=0.4")  # reading must outlast a test that is kept waiting
    shutil.copy(ESTATE, own_sandbox.folder / "estate.yaml")
    terminal = Terminal(own_sandbox, "plan")
    terminal.wait_for("reading")
    terminal.type("\x03")
    assert terminal.end() == 130, terminal.seen
    assert terminal.seen.rstrip().endswith("ostiary: interrupted")
