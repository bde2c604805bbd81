"""Programs of Debian that some of these tests need: without them they are not run, which CI does not accept. And leases."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal

import pytest


@pytest.fixture
def needs():
    """Ask for a program by name."""

    def need(program):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
            strict = os.environ.get("CI") == "true" or os.geteuid() == 0
            (pytest.fail if strict else pytest.skip)(f"not run: needs {program}")

    return need


@pytest.fixture
def lease():
    """Hold a file, as its owner may: whoever opens it and waits does so for fs.lease-break-time, 45 s."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # how the kernel asks for it back
    with contextlib.ExitStack() as held:

        def hold(file):
            opened = held.enter_context(file.open())
            fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_WRLCK)

        yield hold
    signal.signal(signal.SIGIO, before)
