"""What the accounts of a host should be, and what stands against them. Pure: all from one look at the host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ostiary.doors.servers.agent import names
from ostiary.doors.servers.agent.accounts_lookup import Lookup
from ostiary.doors.servers.agent.accounts_owned import Owned
from ostiary.doors.servers.agent.files import MANAGED
from ostiary.doors.servers.wire.host import HostGroup, HostUser

# A group that is longer than this is none to PAM, which would jump over the session hook: its line of login and pointers to
# members must fit 2**18 bytes. Source: pam_modutil_getgrnam.c of Linux-PAM; tried, 11,000 of twelve letters fit, 13,000 not.
LONGEST_GROUP = 240_000
_POINTER = 8


@dataclass(frozen=True)
class Account:
    """One line of passwd(5) and what belongs to it. A ``closed`` one keeps name, number and home, and lets nobody in."""

    name: str
    uid: int
    gid: int
    comment: str
    home: str
    shell: str
    groups: tuple[str, ...]
    closed: bool = False


def conflicts(
    users: Iterable[HostUser], groups: Iterable[HostGroup], owned: Owned, lookup: Lookup
) -> dict[str, str]:
    """User or group -> why it cannot be made here. Nobody's account, name or number is ever taken over."""
    users, groups = tuple(users), tuple(groups)
    found: dict[str, str] = {}
    times = Counter([user.login for user in users] + [group.name for group in groups])
    uids = Counter(user.uid for user in users)
    gids = Counter([user.gid for user in users] + [group.gid for group in groups])
    for user in users:
        why = _user_conflict(user, owned, lookup)
        if max(times[user.login], uids[user.uid], gids[user.gid]) > 1:
            why = f"its name, UID {user.uid} or GID {user.gid} is given twice"
        if why:
            found[user.login] = why
    for group in groups:
        why = _group_conflict(group, owned, lookup)
        if max(times[group.name], gids[group.gid]) > 1:
            why = f"its name or GID {group.gid} is given twice"
        if why:
            found[f"group {group.name}"] = why
    return found


def _user_conflict(user: HostUser, owned: Owned, lookup: Lookup) -> str:
    wrong = (
        names.name_fault(user.login) or names.number_fault(user.uid) or names.number_fault(user.gid)
    )
    if wrong:
        return wrong
    known = owned.number(user.login)
    if known not in (-1, user.uid):
        return f"it was made here with UID {known}, not {user.uid}"
    there = lookup.user(user.login)
    if there and known != there.uid:
        return f"an account {user.login} with UID {there.uid} exists and is not ours"
    holder = lookup.uid(user.uid)
    if holder and holder.name != user.login:
        return f"UID {user.uid} belongs to {holder.name}"
    return _number_conflict(user.login, user.gid, owned, lookup)


def _number_conflict(name: str, gid: int, owned: Owned, lookup: Lookup) -> str:
    holder = lookup.gid(gid)
    if holder and holder.name != name:
        return f"GID {gid} belongs to group {holder.name}"
    there = lookup.group(name)
    if there and there.gid != gid:
        return f"a group {name} exists with GID {there.gid}"
    if there and owned.groups.get(name) != gid and not owned.rebuilt:
        return f"a group {name} with GID {gid} exists and is not ours"
    return ""


def _group_conflict(group: HostGroup, owned: Owned, lookup: Lookup) -> str:
    wrong = names.name_fault(group.name) or names.number_fault(group.gid)
    return wrong or _number_conflict(group.name, group.gid, owned, lookup)


def is_too_long(members: Iterable[str]) -> bool:
    return _length(members) > LONGEST_GROUP


def without_room(users: Iterable[HostUser], members: Iterable[str]) -> dict[str, str]:
    """Who would make the group of ours too long: nobody would count their certificates. Those of the highest UIDs."""
    members, found = set(members), {}
    length = _length(members)
    for user in sorted(users, key=lambda one: one.uid):
        if user.login not in members:
            length += _length([user.login])
            if length > LONGEST_GROUP:
                found[user.login] = f"the group {MANAGED} is as long as PAM can read"
    return found


def _length(members: Iterable[str]) -> int:
    return sum(len(one) + 1 + _POINTER for one in members)


def account(
    user: HostUser,
    groups: Iterable[str],
    shells: Iterable[str],
    home: str,
    managed: Iterable[str] = (MANAGED,),
) -> Account:
    """The account of a user: in those of his groups that are made here, with a shell that this host has."""
    shell = user.shell if names.is_shell(user.shell) and user.shell in shells else "/bin/sh"
    ours = sorted({*managed, *(set(user.groups) & set(groups))})
    return Account(
        user.login, user.uid, user.gid, names.comment(user.comment), home, shell, tuple(ours)
    )
