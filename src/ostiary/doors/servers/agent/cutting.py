"""Ending what a person runs on this host, and what could start again without him: sessions, linger, cron, at, keys.

The home stays, and so does the UID. Nothing of a job or key is destroyed: it is moved where only root reads.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ostiary.doors.servers.agent import cutting_jobs, subordinate
from ostiary.doors.servers.agent.accounts_home import FOLDER
from ostiary.doors.servers.agent.cutting_processes import (
    NO_SESSION,
    Process,
    below,
    is_dead,
    processes,
)
from ostiary.doors.servers.agent.files import HostError, folder
from ostiary.doors.servers.agent.names import LOWEST
from ostiary.doors.servers.agent.run import attempt

LOGIND = Path("/run/systemd/seats")  # there where logind runs: sd_booted(3), and what it keeps
LINGER = Path("/var/lib/systemd/linger")
KEYS, REMOVED = ("authorized_keys", "authorized_keys2"), ".removed"
SECONDS = 5.0  # in which everything of a person has ended, or it is a problem


def cut(login: str, uid: int, home: Path, aside: Path) -> None:
    """End everything of ``login``; jobs and keys go to the folder ``aside``. HostError if something still runs."""
    place = aside / f"{uid}-{login}"
    try:
        end_all({login: uid})
    finally:
        folder(aside, 0o700)
        folder(place, 0o700)
        with contextlib.suppress(FileNotFoundError):
            (LINGER / login).unlink()
        cutting_jobs.aside(login, uid, place)
        keys_aside(home, uid)
        if LOGIND.is_dir():
            attempt("loginctl", "disable-linger", login)
            attempt("loginctl", "terminate-user", login)
    end_all({login: uid})


def end_all(users: Mapping[str, int], seconds: float = SECONDS) -> None:
    """Kill every process of these users (name -> UID), what root runs for them below it (sudo), and what they run as a number
    that is lent to them (rootless containers). HostError if one is left.
    """
    wanted = set(users.values())
    lent = subordinate.of({*users, *map(str, wanted)})
    if system := [uid for uid in wanted if uid < LOWEST]:
        raise HostError(f"UID {system[0]} is the system's, its processes are not ended")
    end = time.monotonic() + seconds
    while True:
        everybody = {pid: one for pid, one in processes().items() if not is_dead(pid)}
        own = wanted | _lent(everybody.values(), lent)
        found = _of(everybody, own)
        if not found:
            return
        if time.monotonic() > end:
            names = ", ".join(f"{one.name} ({one.pid})" for one in found[:5])
            raise HostError(f"still running after {seconds:.0f} s: {names}")
        for uid in own & {uid for one in found for uid in one.uids}:
            _kill_as(uid)
        _kill(found)
        time.sleep(0.02)


def end_long_sessions(
    bounds: Mapping[int, int], now: Callable[[], float] | None = None
) -> list[int]:
    """End sshd's sessions of each UID that are older than its bound in seconds; the UIDs that lost one."""
    at = now() if now else time.clock_gettime(time.CLOCK_BOOTTIME)
    everybody = processes()
    ended = []
    for one in everybody.values():
        (uid,) = set(one.uids) if len(set(one.uids)) == 1 else (-1,)
        bound = bounds.get(uid, 0)
        if bound and one.name in ("sshd", "sshd-session") and at - one.began > bound:
            _kill([*below(everybody, {one.pid}), *_same_session(everybody, one, uid), one])
            ended.append(uid)
    return ended


def _lent(running: Iterable[Process], lent: Sequence[range]) -> set[int]:
    """The numbers in these ranges by which something runs, but for those of accounts: a range may have been written wrongly."""
    if not lent:
        return set()
    found = {uid for one in running for uid in one.uids if any(uid in part for part in lent)}
    return {uid for uid in found if uid >= LOWEST and not _is_account(uid)}


def _is_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _of(everybody: Mapping[int, Process], uids: set[int]) -> list[Process]:
    own = [one for one in everybody.values() if uids & set(one.uids)]
    return [*own, *below(everybody, {one.pid for one in own})] if own else []


def _same_session(everybody: Mapping[int, Process], one: Process, uid: int) -> list[Process]:
    if one.session == NO_SESSION:
        return []
    return [
        other for other in everybody.values() if other.session == one.session and uid in other.uids
    ]


def _kill(found: Iterable[Process]) -> None:
    for one in found:
        if one.pid not in (1, os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)


def _kill_as(uid: int) -> None:
    """All of a UID by one call of the kernel, during which none of them can fork: kill(2) with -1, as that user."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresuid(uid, uid, uid)
            if os.getresuid() == (uid, uid, uid):
                os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def keys_aside(home: Path, uid: int) -> None:
    """Rename authorized_keys inside the home to ``….removed``. Links in the way are not followed."""
    _rename_keys(home, uid, "", REMOVED)


def keys_back(home: Path, uid: int) -> None:
    """The other way; a file that is there again stays."""
    _rename_keys(home, uid, REMOVED, "")


def _rename_keys(home: Path, uid: int, was: str, becomes: str) -> None:
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        top = os.open(home, FOLDER)
        opened.callback(os.close, top)
        if os.fstat(top).st_uid != uid:
            return
        inner = os.open(".ssh", FOLDER, dir_fd=top)
        opened.callback(os.close, inner)
        there = os.listdir(inner)  # noqa: PTH208 - of a descriptor
        for name in KEYS:
            if name + was in there and (becomes or name not in there):
                os.rename(name + was, name + becomes, src_dir_fd=inner, dst_dir_fd=inner)
