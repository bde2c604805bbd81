"""Homes of LocalUsers: made whole beside their place and renamed into it; nothing that is there is ever handed over.

No name is followed: folders are opened with O_NOFOLLOW and everything below by their file descriptors, so that a link put
in the way leads nowhere. What becomes a user's does so only once nobody but root can reach it.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from ostiary.doors.servers.agent.accounts_wanted import Account
from ostiary.doors.servers.agent.files import HostError

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
SKELETON = Path("/etc/skel")
MODE = 0o700
MOST_AT_ONCE = 1 << 20  # bytes


def make(account: Account, skeleton: Path = SKELETON) -> bool:
    """Make the home if there is none; whether it was made. HostError if something else is in its place."""
    home = Path(account.home)
    try:
        above = os.open(home.parent, FOLDER)
    except OSError as error:
        raise HostError(f"cannot open {home.parent}: {error.strerror}") from error
    try:
        if _there(above, home, account.uid):
            return False
        _new(above, home, account, skeleton)
    except OSError as error:
        raise HostError(f"cannot make {home}: {error.strerror}") from error
    finally:
        os.close(above)
    return True


def _there(above: int, home: Path, uid: int) -> bool:
    held = os.fstat(above)
    if held.st_uid not in (0, os.geteuid()) or held.st_mode & 0o022:
        raise HostError(f"{home.parent} is not root's alone to write, so no home is made in it")
    try:
        there = os.stat(home.name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(there.st_mode):
        raise HostError(f"{home} is no folder")
    if there.st_uid != uid:
        raise HostError(f"{home} belongs to UID {there.st_uid}, not {uid}")
    return True


def _new(above: int, home: Path, account: Account, skeleton: Path) -> None:
    name = f".ostiary-{account.uid}"  # of a run that was killed there may be one: root's alone, like the folder above
    try:
        os.mkdir(name, MODE, dir_fd=above)
    except FileExistsError:
        shutil.rmtree(home.parent / name)
        os.mkdir(name, MODE, dir_fd=above)
    fresh = os.open(name, FOLDER, dir_fd=above)
    try:
        _fill(fresh, skeleton, account)
        os.fchmod(fresh, MODE)
        os.fchown(fresh, account.uid, account.gid)
    finally:
        os.close(fresh)
    os.rename(name, home.name, src_dir_fd=above, dst_dir_fd=above)


def _fill(folder: int, skeleton: Path, account: Account) -> None:
    """Copy files, folders and links of the skeleton, all of them the account's."""
    entries = sorted(os.scandir(skeleton), key=lambda one: one.name) if skeleton.is_dir() else []
    for entry in entries:
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), entry.name, dir_fd=folder)  # noqa: PTH115 - scandir's entry
        elif entry.is_dir():
            os.mkdir(entry.name, MODE, dir_fd=folder)
            inner = os.open(entry.name, FOLDER, dir_fd=folder)
            try:
                _fill(inner, Path(entry.path), account)
            finally:
                os.close(inner)
        elif entry.is_file():
            _copy(folder, entry, account)
            continue
        else:
            continue
        os.chown(entry.name, account.uid, account.gid, dir_fd=folder, follow_symlinks=False)


def _copy(folder: int, entry: os.DirEntry[str], account: Account) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    source = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        mode = stat.S_IMODE(os.fstat(source).st_mode) & 0o755
        target = os.open(entry.name, flags, mode, dir_fd=folder)
        try:
            while os.sendfile(target, source, None, MOST_AT_ONCE):
                pass
            os.fchown(target, account.uid, account.gid)
        finally:
            os.close(target)
    finally:
        os.close(source)
