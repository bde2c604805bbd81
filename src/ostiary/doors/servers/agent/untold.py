"""How many logins the session hook could not write down, so that the audit says where it has a hole.

The hook counts them in ``untold`` (``hook.untold``): HOW-MANY SINCE, twenty digits each. The file is made before it is
needed and stays, so that a full disk is no hindrance. Where the disk can only be read nothing is counted: certificates of
the project are refused there, and those of break-glass leave their slip.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ostiary.doors.servers.agent.files import Paths
from ostiary.doors.servers.wire.host import UNTOLD, Login

_LENGTH = 42  # bytes


def begin(paths: Paths) -> None:
    """Make the file, if there is none. OSError where that cannot be."""
    with _locked(paths.untold, os.O_CREAT) as file:
        if not os.fstat(file).st_size:
            os.pwrite(file, _text(0, 0), 0)


def read(paths: Paths) -> tuple[int, int]:
    """How many there are, and since when; (0, 0) where nothing can be read."""
    with contextlib.suppress(OSError), _locked(paths.untold) as file:
        return _read(file)
    return 0, 0


def event(number: int, since: int) -> Login:
    """What the control plane is told of so many."""
    return Login(
        "", "", float(since), f"{number} logins, or tries of them, were not written down", UNTOLD
    )


def told(paths: Paths, number: int) -> None:
    """So many were told; what was lost meanwhile is told next."""
    with contextlib.suppress(FileNotFoundError), _locked(paths.untold) as file:
        left = max(0, _read(file)[0] - number)
        os.pwrite(file, _text(left, int(time.time()) if left else 0), 0)


def _read(file: int) -> tuple[int, int]:
    try:
        number, since = (int(word) for word in os.pread(file, _LENGTH, 0).split())
    except ValueError:
        return 0, 0
    return number, since


def _text(number: int, since: int) -> bytes:
    return b"%020d %020d\n" % (number, since)


@contextlib.contextmanager
def _locked(path: Path, more: int = 0) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | more, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)
