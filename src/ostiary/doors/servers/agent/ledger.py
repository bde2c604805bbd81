"""The ledger of serials, which the session hook (``hook.py``) writes: how it begins, and how it forgets.

Beside a file for each serial it holds ``floor``: whatever certificate ends no later is refused, because its serial may
have been here and is no more. So neither a clock that goes back nor a disk that was lost lets one in twice.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from ostiary.doors.servers.agent.files import Paths, folder, own_folder, sync, write

KEPT = 86_400  # seconds that a serial stays after its certificate expired
LONGEST = 180  # seconds that a certificate is valid: none that was used before now ends later
FLOOR = "floor"


def begin(paths: Paths, counted: Iterable[str]) -> None:
    """Make it, if there is none. Where certificates of ``counted`` authorities were let in already, the one before is lost.

    HostError if it cannot be made; the hook refuses then.
    """
    since = _text(int(time.time()) + LONGEST if any(counted) else 0)
    there = paths.ledger / FLOOR
    if not paths.ledger.is_dir():
        fresh = paths.ledger.with_name(".ledger")
        shutil.rmtree(fresh, ignore_errors=True)
        folder(fresh, 0o700)
        write(fresh / FLOOR, since, 0o600)
        fresh.rename(paths.ledger)
        sync(paths.var)
    elif _floor(there) is None:
        known = any(one.name.isdigit() for one in paths.ledger.iterdir())
        write(there, _text(0) if known and not there.exists() else since, 0o600)
    own_folder(paths.ledger, 0o700)


def prune(ledger: Path, now: float) -> int:
    """Drop serials whose certificates expired long ago; how many. One that cannot be read stays."""
    old: dict[Path, int] = {}
    with contextlib.suppress(FileNotFoundError):
        for one in ledger.iterdir():
            with contextlib.suppress(OSError, ValueError):
                if one.name.isdigit() and int(one.read_bytes() or b"x") + KEPT < now:
                    old[one] = int(one.read_bytes())
    if not old or not _raised(ledger / FLOOR, max(old.values())):
        return 0
    for one in old:
        with contextlib.suppress(OSError):
            one.unlink()
    return len(old)


def _raised(file: Path, to: int) -> bool:
    """In place, so that a disk that is full of serials can be rid of them; false if not even that can be written."""
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(opened, _text(max(_floor(file) or 0, to)).encode(), 0)
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError:
        return False
    return True


def _text(value: int) -> str:
    """Of one length, so that one can stand in another's place."""
    return f"{value:020d}\n"


def _floor(file: Path) -> int | None:
    """None where there is none that can be read."""
    try:
        return int(file.read_bytes())
    except (OSError, ValueError):
        return None
