"""Accounts in /var/lib/extrausers, where NSS reads them (libnss-extrausers): any number of them by one rename a file.

The module leaves out numbers below 500 and comes after /etc/passwd, so nothing here can be root or stand before a local
account. Lines of others stay as they are. Source: README of libnss-extrausers, passwd(5), shadow(5), group(5).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ostiary.doors.servers.agent.accounts_local import (
    LOCK,
    NO_PASSWORD,
    PATIENCE,
    complaints_of,
    locked,
)
from ostiary.doors.servers.agent.accounts_lookup import Lookup
from ostiary.doors.servers.agent.accounts_wanted import Account
from ostiary.doors.servers.agent.files import MANAGED, HostError, folder, swept, write
from ostiary.doors.servers.wire.host import HostGroup

FOLDER = Path("/var/lib/extrausers")
_HIGHEST_OF_SYSTEM, _LOWEST_READ = 999, 500
_MODES = {"passwd": 0o644, "group": 0o644, "shadow": 0o640}


def configured(nsswitch: Path = Path("/etc/nsswitch.conf")) -> bool:
    """Whether this host's NSS reads all three files, and has the library to do it with."""
    try:
        lines = nsswitch.read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    asked = {
        name.strip()
        for name, colon, sources in (line.partition("#")[0].partition(":") for line in lines)
        if colon and "extrausers" in sources.split()
    }
    if not {"passwd", "group", "shadow"} <= asked:
        return False
    with contextlib.suppress(OSError):
        ctypes.CDLL("libnss_extrausers.so.2")
        return True
    return False


def bring(
    accounts: Iterable[Account],
    groups: Iterable[HostGroup],
    lookup: Lookup,
    place: Path = FOLDER,
) -> None:
    """Put these accounts and groups into the files. HostError with nothing half written.

    A kill between two of the three renames leaves files that can be read: who is not in passwd yet is nobody.
    """
    accounts = sorted(accounts, key=lambda one: one.uid)
    known = lookup.group(MANAGED)
    managed = HostGroup(MANAGED, known.gid if known else _free(lookup))
    folder(place)
    with locked(LOCK, PATIENCE):
        swept(place)
        _rewrite(place / "shadow", lambda _: map(_shadow, accounts))
        _rewrite(place / "group", lambda there: _groups(there, [managed, *groups], accounts))
        _rewrite(place / "passwd", lambda _: map(_passwd, accounts))


def complaints(place: Path = FOLDER) -> tuple[str, ...]:
    passwd, shadow = str(place / "passwd"), str(place / "shadow")
    if not (place / "passwd").exists():
        return ()
    return complaints_of(("pwck", "-r", "-q", passwd, shadow))


def _free(lookup: Lookup) -> int:
    for number in range(_HIGHEST_OF_SYSTEM, _LOWEST_READ - 1, -1):
        if lookup.gid(number) is None and lookup.uid(number) is None:
            return number
    raise HostError(f"no GID is free for the group {MANAGED}")


def _passwd(one: Account) -> str:
    return f"{one.name}:x:{one.uid}:{one.gid}:{one.comment}:{one.home}:{one.shell}"


def _shadow(one: Account) -> str:
    return (
        f"{one.name}:{'!' if one.closed else NO_PASSWORD}::0:99999:7::{'1' if one.closed else ''}:"
    )


def _groups(
    there: Mapping[str, str], wanted: Iterable[HostGroup], accounts: Iterable[Account]
) -> Iterable[str]:
    """Lines of the wanted groups, and of others of this file that lose one of the accounts.

    Who is a member and not among the accounts stays one.
    """
    meant = {one.name: set(one.groups) for one in accounts}
    gained: dict[str, list[str]] = {}
    for name, groups in meant.items():
        for group in groups:
            gained.setdefault(group, []).append(name)
    lines = {one.name: f"{one.name}:x:{one.gid}" for one in wanted}
    for name, line in there.items():
        lines.setdefault(name, ":".join(line.split(":")[:3]))
    for name, line in lines.items():
        before = [one for one in there.get(name, "").rpartition(":")[2].split(",") if one]
        members = sorted({one for one in before if one not in meant} | set(gained.get(name, ())))
        if name in gained or set(members) != set(before) or name not in there:
            yield f"{line}:{','.join(members)}"


def _rewrite(path: Path, lines: Callable[[Mapping[str, str]], Iterable[str]]) -> None:
    """Replace or add lines by their first field; all others keep their bytes and their order, before ours."""
    there: dict[str, str] = {}
    owner = None
    try:
        text = path.read_text("utf-8")
        owner = path.stat()
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"cannot read {path}: {error}") from error
    kept = text.splitlines()
    there = {line.partition(":")[0]: line for line in kept}
    ours = {line.partition(":")[0]: line for line in lines(there)}
    kept = [ours.pop(line.partition(":")[0], line) for line in kept]
    write(path, "".join(f"{line}\n" for line in [*kept, *ours.values()]), _MODES[path.name])
    if owner is not None and owner.st_gid != path.stat().st_gid:
        os.chown(path, -1, owner.st_gid)
