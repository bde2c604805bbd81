"""Jobs of a person that would start without them: crontab and at, moved where only root reads. Source: cron(8), atd(8)."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from pathlib import Path

CRONTABS = (Path("/var/spool/cron/crontabs"), Path("/var/spool/cron"))  # Debian; RHEL, Amazon Linux
AT_JOBS = (Path("/var/spool/cron/atjobs"), Path("/var/spool/at"))


def aside(login: str, uid: int, place: Path) -> None:
    """Move them into the folder ``place``. OSError for one that stays."""
    for spool in CRONTABS:
        if spool.is_dir() and not (spool / login).is_dir():
            _move(spool / login, place / f"crontab-{spool.name}")
    for spool in AT_JOBS:
        for job in _owned_files(spool, uid):
            _move(job, place / f"at-{job.name}")


def _owned_files(spool: Path, uid: int) -> list[Path]:
    with contextlib.suppress(OSError):
        return [one for one in spool.iterdir() if one.is_file() and one.lstat().st_uid == uid]
    return []


def _move(source: Path, target: Path) -> None:
    """Into root's folder: renamed, so that neither its size nor a full disk matters. What is no file is removed, never read."""
    try:
        if not stat.S_ISREG(source.lstat().st_mode):
            source.unlink()
            return
        source.rename(target)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target)
        source.unlink()


def _copy(source: Path, target: Path) -> None:
    """To another file system; what is not a file by now is left out, and nothing waits for it."""
    file = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(file, "rb") as kept:  # noqa: PTH123 - a descriptor
        if stat.S_ISREG(os.fstat(file).st_mode):
            with open(target, "wb", opener=_private) as copy:
                shutil.copyfileobj(kept, copy)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
