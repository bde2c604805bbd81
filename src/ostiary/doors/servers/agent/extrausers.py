"""Accounts in /var/lib/extrausers, where NSS reads them (libnss-extrausers): any number of them by one rename a file.

The module leaves out numbers below 500 and comes after /etc/passwd, so nothing here can be root or stand before a local
account. Lines of others stay as they are. Source: README of libnss-extrausers, passwd(5), shadow(5), group(5).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
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
from ostiary.doors.servers.agent.files import MANAGED, HostError, folder, swept, sync, write
from ostiary.doors.servers.agent.run import attempt
from ostiary.doors.servers.wire.host import HostGroup

FOLDER = Path("/var/lib/extrausers")
_HIGHEST_OF_SYSTEM, _LOWEST_READ = 999, 500
_CACHES = (
    Path("/run/nscd/socket"),
    Path("/var/run/nscd/socket"),
)  # nscd(8) remembers who was not there
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
    """Put these accounts and groups into the files. HostError with nothing changed.

    All three are written beside their places before the first is renamed. A kill between two renames leaves files that can
    be read: who is not in passwd yet is nobody, and who is closed is so in shadow first.
    """
    accounts = sorted(accounts, key=lambda one: one.uid)
    known = lookup.group(MANAGED)
    managed = HostGroup(MANAGED, known.gid if known else _free(lookup))
    folder(place)
    # On a system whose /etc is never written nobody else takes the lock either.
    with locked(LOCK, PATIENCE) if os.access(LOCK.parent, os.W_OK) else contextlib.nullcontext():
        swept(place)
        renew = {
            "shadow": lambda _: map(_shadow, accounts),
            "group": lambda there: _groups(there, [managed, *groups], accounts),
            "passwd": lambda _: map(_passwd, accounts),
        }
        fresh = [_fresh(place / name, lines) for name, lines in renew.items()]
        try:
            for one in filter(None, fresh):
                one.replace(place / one.name[1 : one.name.rindex(".")])
            sync(place)
        except OSError as error:
            raise HostError(f"cannot write into {place}: {error.strerror}") from error
    if any(fresh):
        _forget()


def without(logins: Collection[str], groups: Collection[str], place: Path = FOLDER) -> None:
    """Take lines of these users and groups away, and the users out of all other groups; nothing where there are none."""
    lines_of = {"passwd": {*logins}, "shadow": {*logins}, "group": {*logins, *groups}}
    with locked(LOCK, PATIENCE) if os.access(LOCK.parent, os.W_OK) else contextlib.nullcontext():
        for name, gone in lines_of.items():
            text, owner = _there(place / name)
            kept = [line for line in text.splitlines() if line.partition(":")[0] not in gone]
            if name == "group":
                kept = [_without_members(line, logins) for line in kept]
            renewed = "".join(f"{line}\n" for line in kept)
            if renewed != text:
                _beside(place / name, renewed, owner).replace(place / name)
        if place.is_dir():
            sync(place)
    _forget()


def _without_members(line: str, logins: Collection[str]) -> str:
    head, colon, members = line.rpartition(":")
    names = members.split(",")
    return (
        line
        if set(logins).isdisjoint(names)
        else (head + colon + ",".join(one for one in names if one not in logins))
    )


def complaints(place: Path = FOLDER) -> tuple[str, ...]:
    passwd, shadow = str(place / "passwd"), str(place / "shadow")
    if not (place / "passwd").exists():
        return ()
    return complaints_of(("pwck", "-r", "-q", passwd, shadow))


def _forget() -> None:
    if any(socket.exists() for socket in _CACHES):
        for name in ("passwd", "group"):
            attempt("nscd", f"--invalidate={name}")


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


def _fresh(path: Path, lines: Callable[[Mapping[str, str]], Iterable[str]]) -> Path | None:
    """The new file, beside its place and safely on disk; None if nothing changes.

    Lines are replaced or added by their first field; all others keep their bytes and their order, before ours.
    """
    text, group = _there(path)
    kept = text.splitlines()
    ours = {
        line.partition(":")[0]: line
        for line in lines({line.partition(":")[0]: line for line in kept})
    }
    kept = [ours.pop(line.partition(":")[0], line) for line in kept]
    renewed = "".join(f"{line}\n" for line in [*kept, *ours.values()])
    if renewed == text and group != -1:
        return None
    return _beside(path, renewed, group)


def _there(path: Path) -> tuple[str, int]:
    """What a file holds, and its group; "" and -1 where there is none."""
    try:
        return path.read_text("utf-8"), path.stat().st_gid
    except FileNotFoundError:
        return "", -1
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"cannot read {path}: {error}") from error


def _beside(path: Path, text: str, group: int) -> Path:
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")  # as files.swept knows them
    try:
        write(beside, text, _MODES[path.name])
        os.chown(beside, -1, group)
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror}") from error
    return beside
