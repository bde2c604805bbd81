"""The folder of one control plane, and of no other: what a second one saw of its database would replace what this one saw.

The lock is a file's, and goes with the last process that has it open (flock(2)), however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from ostiary.errors import Conflict

NAME = "in-use"
FREE_SECONDS = 2.0  # in which the workers of one that was killed just now are gone


def keep(folder: Path) -> None:
    """Have it for as long as this process lives, and those that it begins. Conflict where another has it."""
    file = -1
    with contextlib.suppress(
        OSError
    ):  # ``high_water.py`` has words for a folder that is not to be used
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        how = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(folder / NAME, how, 0o600)
    until = time.monotonic() + FREE_SECONDS
    while file >= 0:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise _in_use(folder) from None
            time.sleep(0.05)
        except OSError:  # a file system that has no such locks
            return
        else:
            return


def _in_use(folder: Path) -> Conflict:
    return Conflict(
        f"cannot use the folder {folder}",
        why="another control plane uses it now",
        fix="end that one, or name a folder of its own with: --state-dir",
        code="state-dir",
    )
