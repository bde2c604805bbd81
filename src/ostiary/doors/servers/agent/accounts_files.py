"""The files of a user, found and handed from one number to another on this host's own file systems.

Folders are walked by file descriptor and no link is followed; each file is opened by its place in the tree, looked at, and
handed over by that very descriptor, so that nothing swapped in between is. Source: open(2) O_PATH, chown(2), proc(5).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from ostiary.doors.servers.agent.files import HostError

_LOCAL = frozenset("ext2 ext3 ext4 xfs btrfs zfs f2fs jfs tmpfs".split())  # noqa: SIM905 - one short list
# Files of containers and images: the same numbers there are other people's.
_FOREIGN = frozenset(
    f"/var/lib/{one}" for one in ("docker", "containers", "containerd", "lxc", "lxd", "machines")
)
_NOT_THERE = ("/proc", "/sys", "/dev", "/run/user")
_OPEN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def places(mountinfo: Path = Path("/proc/self/mountinfo")) -> tuple[str, ...]:
    """Where the local file systems are mounted, each once. Source: proc(5).

    In bytes, and parted by blanks alone: somebody may call the place of a mount of his (fusermount) as he likes.
    """
    found: dict[str, str] = {}
    for line in filter(None, mountinfo.read_bytes().split(b"\n")):
        words = line.split(b" ")
        device, kind = words[2].decode(), os.fsdecode(words[words.index(b"-") + 1])
        where = os.fsdecode(words[4].decode("unicode_escape").encode("latin-1"))
        if (kind in _LOCAL or (kind, where) == ("overlay", "/")) and not where.startswith(
            _NOT_THERE
        ):
            found.setdefault(device, where)
    return tuple(sorted(found.values()))


def owned(where: Iterable[str], uid: int, most: int) -> tuple[int, tuple[str, ...]]:
    """How many files and folders are ``uid``'s, and the first ``most`` of them."""
    shown: list[str] = []
    count = 0

    def look(folder: int, name: str, path: str) -> None:
        nonlocal count
        if os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid == uid:
            count += 1
            if len(shown) < most:
                shown.append(path)

    _walk(where, look)
    return count, tuple(shown)


def hand_over(where: Iterable[str], uids: tuple[int, int], gids: tuple[int, int]) -> int:
    """Give what is the first number's to the second; how many were given. Set-user-ID bits are lost on the way, as always."""
    count = 0

    def give(folder: int, name: str, _: str) -> None:
        nonlocal count
        file = os.open(name, _OPEN, dir_fd=folder)
        try:
            there = os.fstat(file)
            uid = uids[1] if there.st_uid == uids[0] else -1
            gid = gids[1] if there.st_gid == gids[0] else -1
            if (uid, gid) != (-1, -1):
                os.chown(f"/proc/self/fd/{file}", uid, gid)
                count += 1
        finally:
            os.close(file)

    _walk(where, give)
    return count


def _walk(where: Iterable[str], see: Callable[[int, str, str], None]) -> None:
    """``see(folder, name, path)`` for everything below each place, on its own file system."""
    for place in where:
        try:
            device = Path(place).stat().st_dev
            for path, folders, files, here in os.fwalk(
                place, follow_symlinks=False, onerror=_raise
            ):
                for name in [*folders, *files]:
                    try:
                        see(here, name, f"{path}/{name}")
                    except FileNotFoundError:
                        continue  # gone while we looked
                folders[:] = [
                    one
                    for one in folders
                    if _device(here, one) == device and f"{path}/{one}" not in _FOREIGN
                ]
        except (OSError, RecursionError) as error:
            raise HostError(f"cannot look through {place}: {error}") from error


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _device(folder: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_dev
    except FileNotFoundError:
        return -1
