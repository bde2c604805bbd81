"""Who has a name or a number on this host: asked through NSS, so that LDAP, sssd and systemd count as well as files."""

from __future__ import annotations

import contextlib
import grp
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


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
    """What was there when it was made. Names and numbers that enumeration leaves out (sssd) are asked for one by one."""

    def __init__(self, users: Iterable[User], groups: Iterable[Group], *, ask: bool) -> None:
        self.users: dict[str, User] = {}
        self.groups: dict[str, Group] = {}
        self._uids: dict[int, User] = {}
        self._gids: dict[int, Group] = {}
        self._ask = ask
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
        if name not in self.users and self._ask:
            with contextlib.suppress(KeyError):
                return _user(pwd.getpwnam(name))
        return self.users.get(name)

    def uid(self, number: int) -> User | None:
        if number not in self._uids and self._ask:
            with contextlib.suppress(KeyError):
                return _user(pwd.getpwuid(number))
        return self._uids.get(number)

    def group(self, name: str) -> Group | None:
        if name not in self.groups and self._ask:
            with contextlib.suppress(KeyError):
                return _group(grp.getgrnam(name))
        return self.groups.get(name)

    def gid(self, number: int) -> Group | None:
        if number not in self._gids and self._ask:
            with contextlib.suppress(KeyError):
                return _group(grp.getgrgid(number))
        return self._gids.get(number)

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
