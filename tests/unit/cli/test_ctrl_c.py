"""Ctrl-C ends a command also where Python loses the KeyboardInterrupt that it raised."""

import signal
import subprocess
import sys
import time

import pytest

from ostiary import cli
from ostiary.cli import ctrl_c

SCRIPT = """
import signal, sys, time
from ostiary.cli import ctrl_c

class Odd:
    def __repr__(self):
        signal.raise_signal(signal.SIGINT)

class Ending:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def index():
    try:
        [].index(Odd())  # the text of its ValueError has the repr
    except ValueError:
        pass

if sys.argv[1] == "heed":
    ctrl_c.heed()
try:
    {"index": index, "finalizer": Ending}[sys.argv[2]]()
    time.sleep(0.5)
    print("lost")
except KeyboardInterrupt:
    ctrl_c.answered()
    print("heard")
time.sleep(0.1)
print("once")
"""


def _run(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.split()


def test_one_that_python_loses_is_raised_again_once():
    assert _run("not", "finalizer") == ["lost", "once"]
    assert _run("heed", "finalizer") == ["heard", "once"]


def test_one_over_which_another_error_is_raised_is_heard():
    """Python 3.11.4 and later do not lose it."""
    assert _run("heed", "index") == ["heard", "once"]


def test_who_was_started_deaf_stays_deaf():
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from ostiary.cli import ctrl_c; ctrl_c.heed(); signal.raise_signal(signal.SIGINT)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.fixture
def heeded():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ctrl_c.heed()
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGALRM, before[1])


@pytest.mark.usefixtures("heeded")
def test_what_was_answered_is_not_raised_again(monkeypatch, capsys):
    monkeypatch.setattr(cli.root, "main", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    assert cli.run(["plan"]) == 130
    time.sleep(3 * ctrl_c.AGAIN)
    assert capsys.readouterr().err == "ostiary: interrupted\n"
