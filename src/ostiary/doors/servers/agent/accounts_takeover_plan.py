"""The plan of a take-over: which accounts, from which number to which, with which files; and whom nobody can approve."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ostiary.doors.servers.agent import accounts_files, names
from ostiary.doors.servers.agent.accounts_lookup import Lookup, User, local_names
from ostiary.doors.servers.agent.accounts_owned import Owned
from ostiary.doors.servers.agent.cutting_processes import processes
from ostiary.doors.servers.agent.files import HostError
from ostiary.doors.servers.agent.other_ways_beside import with_password
from ostiary.doors.servers.wire.host import HostUser

MOST_SHOWN = 20


@dataclass(frozen=True)
class Candidate:
    """One account as it is, and the numbers that it would get. ``refused`` says why it cannot be taken, "" if it can."""

    login: str
    uid: int
    gid: int
    new_uid: int
    new_gid: int
    home: str
    shell: str
    comment: str
    groups: list[str]
    private_group: bool  # of the account's name and GID: it is renumbered too, and so are its files
    password: bool
    files: int
    first_files: list[str]
    running: list[str]
    refused: str = ""


@dataclass(frozen=True)
class Plan:
    """``approve`` is filled in by whoever reviews it: logins. ``places`` is where files are looked for."""

    candidates: tuple[Candidate, ...]
    places: tuple[str, ...]
    approve: tuple[str, ...] = ()

    def as_json(self) -> str:
        told = {"v": 1, "approve": list(self.approve), "places": list(self.places)}
        return json.dumps({**told, "accounts": [asdict(one) for one in self.candidates]}, indent=2)

    @classmethod
    def read(cls, path: Path) -> Plan:
        try:
            value = json.loads(path.read_bytes())
            candidates = tuple(Candidate(**one) for one in value["accounts"])
            places, approve = tuple(map(str, value["places"])), tuple(map(str, value["approve"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HostError(
                f"{path} is no plan of a take-over",
                why=str(error),
                fix=f"run: ostiary agent takeover --plan {path}",
            ) from error
        return cls(candidates, places, approve)


def plan(users: Iterable[HostUser], owned: Path, places: Sequence[str]) -> Plan:
    """Who of the project's users has an account here that is not ours. Read only."""
    lookup = Lookup.now()
    ours, local = Owned.look(owned), local_names()
    found = []
    for user in users:
        there = lookup.user(user.login)
        if there and (user.login not in ours or there.uid != user.uid):
            found.append(_candidate(user, there, lookup, local, places))
    return Plan(tuple(found), tuple(places))


def _candidate(
    user: HostUser, there: User, lookup: Lookup, local: frozenset[str], places: Sequence[str]
) -> Candidate:
    refused, own = refusal(user, there, lookup, local), lookup.group(user.login)
    files, first = (
        (0, ())
        if refused
        else accounts_files.owned(with_home(places, there.home), there.uid, MOST_SHOWN)
    )
    return Candidate(
        user.login,
        there.uid,
        there.gid,
        user.uid,
        user.gid,
        there.home,
        there.shell,
        there.comment,
        list(lookup.groups_of().get(user.login, ())),
        own is not None and own.gid == there.gid,
        user.login in with_password(),
        files,
        list(first),
        running(there.uid),
        refused,
    )


def refusal(user: HostUser, there: User, lookup: Lookup, local: frozenset[str]) -> str:
    """Why this account is not taken over, whoever approves it. Pure."""
    if fault := names.name_fault(user.login) or names.number_fault(user.uid):
        return fault
    if there.uid < names.LOWEST:
        return f"UID {there.uid} is the system's"
    if whose := names.range_of(there.uid):
        return f"UID {there.uid} is in the range of {whose}"
    if user.login not in local:
        return "it comes from another source than /etc/passwd"
    holder = lookup.uid(user.uid)
    if holder and holder.name != user.login:
        return f"UID {user.uid} belongs to {holder.name}"
    group, own = lookup.gid(user.gid), lookup.group(user.login)
    if group and group.name != user.login:
        return f"GID {user.gid} belongs to group {group.name}"
    if own and own.gid not in (there.gid, user.gid):
        return f"group {user.login} has GID {own.gid}, which is not this account's"
    return ""


def running(uid: int) -> list[str]:
    return [f"{one.name} ({one.pid})" for one in processes().values() if uid in one.uids][
        :MOST_SHOWN
    ]


def lines(made: Plan) -> Iterable[str]:
    """A plan for people."""
    for one in made.candidates:
        yield f"{one.login}  UID {one.uid} -> {one.new_uid}  GID {one.gid} -> {one.new_gid}  {one.home}"
        if one.refused:
            yield f"  refused: {one.refused}"
            continue
        yield f"  {one.files} files: {', '.join(one.first_files[:3])}{', ...' if one.files > 3 else ''}"  # noqa: PLR2004 - for a look
        yield from (f"  leaves the group {name}" for name in one.groups)
        yield from (f"  in use: {name}" for name in one.running)


def with_home(places: Sequence[str], home: str) -> list[str]:
    parent = str(Path(home).parent)
    inside = any(Path(place) in (Path(home), *Path(home).parents) for place in places)
    return [*places] if inside else [*places, parent]
