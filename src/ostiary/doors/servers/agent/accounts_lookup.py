"""Who has a name or a number on this host: asked through NSS, so that LDAP, sssd and systemd count as well as files."""

from __future__ import annotations

import contextlib
import grp
import pwd
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class User:
    name: str
    uid: int
    gid: int
    comment: str
    home: str
    shell: str


@dataclass(frozen=True)
class Group:
    name: str
    gid: int
    members: tuple[str, ...] = ()


class Lookup:
    """What was there when it was made. Names and numbers that enumeration leaves out (sssd) are asked for one by one, once."""

    def __init__(self, users: Iterable[User], groups: Iterable[Group], *, ask: bool) -> None:
        self.users: dict[str, User] = {}
        self.groups: dict[str, Group] = {}
        self._uids: dict[int, User] = {}
        self._gids: dict[int, Group] = {}
        self._ask = ask
        self._asked: dict[tuple[object, str | int], Any] = {}
        for user in users:
            self.users.setdefault(user.name, user)
            self._uids.setdefault(user.uid, user)
        for group in groups:
            known = self.groups.get(group.name)
            if (
                known and known.gid == group.gid
            ):  # one group in two sources: members of both are in it
                members = dict.fromkeys((*known.members, *group.members))
                self.groups[group.name] = Group(group.name, group.gid, tuple(members))
            self.groups.setdefault(group.name, group)
            self._gids.setdefault(group.gid, group)

    @classmethod
    def now(cls) -> Lookup:
        return cls(map(_user, pwd.getpwall()), map(_group, grp.getgrall()), ask=True)

    def user(self, name: str) -> User | None:
        return self.users.get(name) or self._one(pwd.getpwnam, name, _user)

    def uid(self, number: int) -> User | None:
        return self._uids.get(number) or self._one(pwd.getpwuid, number, _user)

    def group(self, name: str) -> Group | None:
        return self.groups.get(name) or self._one(grp.getgrnam, name, _group)

    def gid(self, number: int) -> Group | None:
        return self._gids.get(number) or self._one(grp.getgrgid, number, _group)

    def _one(
        self, ask: Callable[[Any], Any], which: str | int, made: Callable[[Any], T]
    ) -> T | None:
        """A question reads all of each file, so for as many users as there are it is their square."""
        asked = (ask, which)
        if self._ask and asked not in self._asked:
            self._asked[asked] = None
            with contextlib.suppress(KeyError):
                self._asked[asked] = made(ask(which))
        found: T | None = self._asked.get(asked)
        return found

    def members(self, name: str) -> set[str]:
        """Of a group; nobody where there is none."""
        group = self.group(name)
        return set(group.members) if group else set()

    def groups_of(self) -> dict[str, tuple[str, ...]]:
        """User -> the groups that name it as a member, sorted."""
        found: dict[str, list[str]] = {}
        for group in self.groups.values():
            for member in group.members:
                found.setdefault(member, []).append(group.name)
        return {member: tuple(sorted(names)) for member, names in found.items()}


def _user(entry: pwd.struct_passwd) -> User:
    return User(
        entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_gecos, entry.pw_dir, entry.pw_shell
    )


def _group(entry: grp.struct_group) -> Group:
    return Group(entry.gr_name, entry.gr_gid, tuple(entry.gr_mem))


def local_names(passwd: Path = Path("/etc/passwd")) -> frozenset[str]:
    """Who has a line in the file itself, whatever other sources NSS reads.

    Only ``\\n`` ends one: chfn(1) takes what ``splitlines`` breaks at into a comment.
    """
    lines = passwd.read_bytes().decode("utf-8", "surrogateescape").split("\n")
    return frozenset(line.partition(":")[0] for line in lines if line)
