"""What on this host is ours: written down before it is made, so that a kill between the two leaves nothing unknown."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ostiary.doors.servers.agent.accounts_lookup import Lookup
from ostiary.doors.servers.agent.files import FORMER, MANAGED, HostError, write
from ostiary.doors.servers.agent.names import LOWEST, is_name, name_fault, number_fault
from ostiary.doors.servers.wire.host import HostUser

NOLOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false")


@dataclass
class Owned:
    """Users (name -> UID) and groups (name -> GID) that we made.

    ``gone`` users are closed and keep their UID; of those in ``cut`` everything was ended that could outlive them. Those
    in ``confined`` may have no shell, and what they started while they had one was ended.
    ``rebuilt`` says that the list was lost and made again from the group that only our accounts are in.
    """

    users: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    confined: list[str] = field(default_factory=list)
    rebuilt: bool = False

    @classmethod
    def read(cls, path: Path, lookup: Lookup) -> Owned:
        """As kept. A list that is cut, flipped or another user's is put aside and rebuilt; OSError if it cannot be read."""
        try:
            kept = _parsed(path)
        except (
            FileNotFoundError
        ):  # lost, or this is the first time: then the group is not there, or empty
            rebuilt = _rebuilt(lookup, (MANAGED,))
            return rebuilt if rebuilt.users or rebuilt.gone else cls()
        except ValueError:
            path.replace(path.with_name(f"{path.name}.bad-{int(time.time())}"))
            kept = None
        return kept if kept is not None else _rebuilt(lookup, (MANAGED, FORMER))

    @classmethod
    def look(cls, path: Path) -> frozenset[str]:
        """The names that are ours, read only: none where there is no list, or a damaged one."""
        try:
            kept = _parsed(path)
        except (OSError, ValueError):
            return frozenset()
        return frozenset({**kept.users, **kept.gone, **kept.groups})

    def keep(self, path: Path) -> None:
        kept = {
            "users": self.users,
            "groups": self.groups,
            "gone": self.gone,
            "cut": self.cut,
            "confined": [one for one in self.confined if one in self.users],
        }
        write(path, json.dumps(kept, sort_keys=True), 0o600)

    def know_again(self, users: Iterable[HostUser], lookup: Lookup) -> None:
        """Add those who are in our group and have the very numbers that are asked for: the list may be of an older backup."""
        members = lookup.members(MANAGED)
        for user in users:
            there = lookup.user(user.login) if user.login in members else None
            if not there or (there.uid, there.gid) != (user.uid, user.gid):
                continue
            if self.number(user.login) == -1:
                self.users[user.login] = user.uid
                own = lookup.group(user.login)
                if own and own.gid == user.gid:
                    self.groups[user.login] = own.gid

    def number(self, name: str) -> int:
        """The UID that we made for ``name``, -1 if it is not ours."""
        return self.users.get(name, self.gone.get(name, -1))


def _parsed(path: Path) -> Owned:
    there = path.lstat()
    if there.st_uid != os.geteuid() or there.st_mode & 0o022:
        raise ValueError("others may write it")
    try:
        value = json.loads(path.read_bytes())
        users, groups, gone, cut = (value[name] for name in ("users", "groups", "gone", "cut"))
        confined = value.get("confined", [])  # an older agent wrote none
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("it is not the list") from error
    numbered = all(
        isinstance(part, dict)
        and all(type(one) is int and not number_fault(one) for one in part.values())
        and not any(map(name_fault, part))
        for part in (users, groups, gone)
    )
    listed = isinstance(cut, list) and isinstance(confined, list)
    if not numbered or not listed or not set(map(str, cut)) <= set(gone):
        raise ValueError("it is not the list")
    return Owned(users, groups, gone, cut, confined)


def _rebuilt(lookup: Lookup, names: Iterable[str]) -> Owned:
    """Ours are the members of the group that we made, the first of ``names`` that is there, and nobody else."""
    group = next(filter(None, map(lookup.group, names)), None)
    owned = Owned(rebuilt=True)
    for name in group.members if group else ():
        user = lookup.user(name)
        if user and user.uid >= LOWEST and is_name(name):
            (owned.gone if user.shell in NOLOGIN else owned.users)[name] = user.uid
            own = lookup.group(name)
            if own and own.gid == user.gid:
                owned.groups[name] = own.gid
    return owned


@contextlib.contextmanager
def alone(owned: Path) -> Iterator[None]:
    """One at a time works on accounts: the service, somebody's ``once``, a take-over."""
    lock = owned.with_name("accounts.lock")
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise HostError(f"cannot open {lock}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
