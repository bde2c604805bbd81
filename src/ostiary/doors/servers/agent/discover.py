"""``ostiary agent discover``: what is on a host before the agent comes, and what would stand in its way. Read only.

Seed of this exercise: a project's numbers grow from its start, so whoever is there already, with his numbers, keys and
rights, is to be known before. Everything is asked through NSS, so that accounts of LDAP and sssd count too.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from ostiary.doors.servers.agent import names, other_ways, subordinate
from ostiary.doors.servers.agent import other_ways_keys as keys
from ostiary.doors.servers.agent.accounts_lookup import Lookup, User, local_names
from ostiary.doors.servers.agent.accounts_owned import Owned
from ostiary.doors.servers.agent.files import Paths
from ostiary.doors.servers.agent.other_ways_beside import with_password
from ostiary.doors.servers.agent.run import attempt

SPAN = 10_000  # numbers above a start that a project is expected to come to use
MOST_ASKED = 200  # accounts whose sudo rights are asked for, one process each
FIRST_OF_PEOPLE, NOBODY = 1000, 65534


@dataclass(frozen=True)
class Planned:
    """What a project would bring: where its numbers start, who gets an account and which groups are made."""

    uid_start: int = 60001
    gid_start: int = 63001
    logins: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """One account. ``source`` is ``files``, or ``nss`` where /etc/passwd has no line of it."""

    name: str
    uid: int
    gid: int
    shell: str
    home: str
    source: str
    password: bool
    groups: tuple[str, ...]
    keys: tuple[str, ...]
    sudo: tuple[str, ...]
    ours: bool


@dataclass(frozen=True)
class Discovery:
    host: str
    accounts: tuple[Found, ...]
    groups: dict[str, int]
    conflicts: tuple[str, ...]
    warnings: tuple[str, ...]
    other_ways: tuple[str, ...]

    def as_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def discover(paths: Paths, planned: Planned) -> Discovery:
    lookup = Lookup.now()
    for name in planned.logins:
        if name not in lookup.users and (there := lookup.user(name)):
            lookup.users[name] = there
    ours = Owned.look(paths.owned)
    found_conflicts = tuple(conflicts(planned, lookup, set(ours)))
    return Discovery(
        socket.gethostname(),
        tuple(_accounts(lookup, set(ours))),
        {group.name: group.gid for group in lookup.groups.values()},
        found_conflicts,
        tuple(warnings(planned, _login_defs(), subordinate.ranges())),
        tuple(way.line for way in other_ways.find(paths, lookup)),
    )


def conflicts(planned: Planned, lookup: Lookup, ours: set[str]) -> Iterable[str]:
    """What would be refused when the agent comes: every such name and number is somebody's already."""
    yield from _names_taken(planned, lookup, ours)
    for user in sorted(lookup.users.values(), key=lambda one: one.uid):
        if user.name not in ours and _meets(user.uid, planned.uid_start):
            yield f"UID {user.uid} of {user.name} is above the project's start {planned.uid_start}"
    for group in sorted(lookup.groups.values(), key=lambda one: one.gid):
        if group.name not in ours and _meets(group.gid, planned.gid_start):
            yield f"GID {group.gid} of group {group.name} is above the project's start {planned.gid_start}"


def _meets(number: int, start: int) -> bool:
    return start <= number < start + SPAN and not names.number_fault(number)


def _names_taken(planned: Planned, lookup: Lookup, ours: set[str]) -> Iterable[str]:
    for name in planned.logins:
        there = lookup.user(name)
        if fault := names.name_fault(name):
            yield fault
        elif there and name not in ours:
            yield f"{name} is an account already, with UID {there.uid}: see ostiary agent takeover"
        elif name not in ours and (group := lookup.group(name)):
            yield f"{name} is a group already, with GID {group.gid}"
    for name in planned.groups:
        if fault := names.name_fault(name):
            yield fault
        elif group := lookup.group(name):
            yield f"{name} is a group already, with GID {group.gid}"


def warnings(
    planned: Planned, defs: dict[str, int], lent: Iterable[tuple[str, int, int]]
) -> Iterable[str]:
    """What may come to stand in the way: ranges that other programs give numbers from."""
    for kind, start in (("UID", planned.uid_start), ("GID", planned.gid_start)):
        for first, last, whose in names.TAKEN:
            if start <= last and first < start + SPAN:
                yield f"{kind}s from {start} on meet {first}-{last}, which are {whose}'s"
        low, high = defs.get(f"{kind}_MIN", FIRST_OF_PEOPLE), defs.get(f"{kind}_MAX", 60000)
        if low <= start <= high:
            yield f"{kind}s from {start} on are those that useradd gives here ({low}-{high})"
        for owner, first, count in lent:
            if start < first + count and first < start + SPAN:
                yield f"{kind}s from {start} on meet the subordinate range {first}-{first + count - 1} of {owner}"


def _accounts(lookup: Lookup, ours: set[str]) -> Iterable[Found]:
    local, having, members = local_names(), set(with_password()), lookup.groups_of()
    asked = 0
    for user in sorted(lookup.users.values(), key=lambda one: one.uid):
        sudo: tuple[str, ...] = ()
        if other_ways.can_login(user) and asked < MOST_ASKED:
            sudo, asked = sudo_rights(user.name), asked + 1
        yield Found(
            user.name,
            user.uid,
            user.gid,
            user.shell,
            user.home,
            "files" if user.name in local else "nss",
            user.name in having,
            members.get(user.name, ()),
            _keys(user),
            sudo,
            user.name in ours,
        )


def _keys(user: User) -> tuple[str, ...]:
    files = dict.fromkeys(keys.places((".ssh/authorized_keys", ".ssh/authorized_keys2"), user))
    return tuple(f"{key.kind} {key.text}".strip() for file in files for key in keys.read(file))


def sudo_rights(name: str) -> tuple[str, ...]:
    """What sudo itself says that a user may do; nothing where there is no sudo. Source: ``-l -U`` of sudo(8)."""
    code, out, _ = attempt("sudo", "-n", "-l", "-U", name)
    _, may, rules = out.decode("utf-8", "replace").partition("may run the following commands")
    if code or not may:
        return ()
    lines = (names.shown(line.strip()) for line in rules.splitlines()[1:])
    return tuple(line for line in lines if line.startswith("("))


def _login_defs(path: Path = Path("/etc/login.defs")) -> dict[str, int]:
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return {}
    return {
        one[1]: int(one[2])
        for one in re.finditer(r"^([UG]ID_M(?:IN|AX))\s+(\d+)", text, re.MULTILINE)
    }
