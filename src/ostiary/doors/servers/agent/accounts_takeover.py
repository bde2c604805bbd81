"""Taking over an account that was there before: the application of a reviewed plan to approved names, and the way back.

The account keeps name, password, home and files; it gets the project's UID and GID, and from then on the agent keeps it.
What an account was is written down before anything changes, so that a run that was killed goes on, and ``back`` leads to
what was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ostiary.doors.servers.agent import accounts_files, cutting
from ostiary.doors.servers.agent.accounts_lookup import Lookup, local_names
from ostiary.doors.servers.agent.accounts_owned import Owned, alone
from ostiary.doors.servers.agent.accounts_takeover_plan import (
    Candidate,
    Plan,
    refusal,
    running,
    with_home,
)
from ostiary.doors.servers.agent.files import HostError, write
from ostiary.doors.servers.agent.run import run
from ostiary.doors.servers.wire.host import HostUser


def apply(approved: Plan, users: Iterable[HostUser], owned: Path) -> tuple[list[str], list[str]]:
    """Take over who is approved: (logins taken, problems). An account that is not as planned is left alone."""
    wanted = {user.login: user for user in users}
    taken, problems = [], []
    for one in approved.candidates:
        if one.login not in approved.approve:
            continue
        try:
            with alone(owned):
                _take(one, wanted.get(one.login), approved.places, owned)
            taken.append(one.login)
        except HostError as error:
            problems.append(f"{one.login}: {error}")
    unknown = set(approved.approve) - {one.login for one in approved.candidates}
    problems += [f"{login}: approved, and not in the plan" for login in sorted(unknown)]
    return taken, problems


def _take(one: Candidate, user: HostUser | None, places: Sequence[str], owned: Path) -> None:
    if user is None or (user.uid, user.gid) != (one.new_uid, one.new_gid):
        raise HostError("the project no longer asks for this account with these numbers")
    lookup, begun = Lookup.now(), journal(owned)
    if one.login not in begun:
        _still(one, user, lookup)
        _keep(owned, {**begun, one.login: {**asdict(one), "places": list(places)}})
    else:
        one, places = _kept(begun[one.login])
        if (one.new_uid, one.new_gid) != (user.uid, user.gid):
            raise HostError("it was taken over with other numbers: lead it back first")
    ours = Owned.read(owned, lookup)
    ours.users[one.login], ours.groups[one.login] = one.new_uid, one.new_gid
    ours.keep(owned)
    group = lookup.group(one.login)
    if group is None:
        run("groupadd", "-g", str(one.new_gid), "--", one.login)
    elif group.gid != one.new_gid:
        run("groupmod", "-g", str(one.new_gid), "--", one.login)
    _renumber(one.login, one.new_uid, one.new_gid)
    _give(one, places, (one.uid, one.new_uid), (one.gid, one.new_gid))


def _still(one: Candidate, user: HostUser, lookup: Lookup) -> None:
    """HostError unless the account is as in the plan and nobody uses it."""
    there = lookup.user(one.login)
    if there is None:
        raise HostError("the account is gone")
    own = lookup.group(one.login)
    now = (there.uid, there.gid, there.home, own is not None and own.gid == there.gid)
    if now != (one.uid, one.gid, one.home, one.private_group):
        raise HostError("the account is not as planned: make the plan again")
    if why := refusal(user, there, lookup, local_names()):
        raise HostError(why)
    if busy := running(there.uid):
        raise HostError(f"it is in use: {', '.join(busy[:5])}")


def _renumber(login: str, uid: int, gid: int) -> None:
    """usermod hands over what is in the home by itself; the rest, and all of it again, is for ``_give``."""
    now = Lookup.now().user(login)
    if now and (now.uid, now.gid) != (uid, gid):
        run("usermod", "-u", str(uid), "-g", str(gid), "--", login)


def _give(
    one: Candidate, places: Sequence[str], uids: tuple[int, int], gids: tuple[int, int]
) -> None:
    kept = gids if one.private_group else (-1, -1)  # a group that others are in too keeps its files
    accounts_files.hand_over(with_home(places, one.home), uids, kept)


def back(login: str, owned: Path) -> None:
    """Make an account what it was before it was taken over; it is none of ours then. A run that was killed is done again."""
    with alone(owned):
        _back(login, owned)


def all_back(owned: Path) -> tuple[str, ...]:
    """The same for everybody who was taken over; the problems."""
    problems = []
    for login in sorted(journal(owned)):
        try:
            back(login, owned)
        except HostError as error:
            problems.append(f"{login}: {error}")
    return tuple(problems)


def _back(login: str, owned: Path) -> None:
    begun = journal(owned)
    if login not in begun:
        raise HostError(f"{login} was not taken over here")
    before, places = _kept(begun[login])
    if busy := running(before.new_uid):
        raise HostError(f"{login} is in use: {', '.join(busy[:5])}")
    lookup = Lookup.now()
    ours = Owned.read(owned, lookup)
    closed = login in ours.gone
    for part in (ours.users, ours.gone, ours.groups):
        part.pop(login, None)
    ours.cut = [one for one in ours.cut if one != login]
    if closed:
        cutting.keys_back(Path(before.home), before.new_uid)
    if before.private_group and lookup.group(login):
        run("groupmod", "-g", str(before.gid), "--", login)
    _renumber(login, before.uid, before.gid)
    groups = ",".join(one for one in before.groups if lookup.group(one))
    looks = ("-G", groups, "-s", before.shell, "-c", before.comment, "-e", "")
    run("usermod", *looks, *(("-U",) if closed and before.password else ()), "--", login)
    _give(before, places, (before.new_uid, before.uid), (before.new_gid, before.gid))
    if not before.private_group and lookup.group(login):
        run("groupdel", "--", login)
    ours.keep(owned)
    begun.pop(login)
    _keep(owned, begun)


def _kept(entry: dict[str, Any]) -> tuple[Candidate, list[str]]:
    return Candidate(**{key: one for key, one in entry.items() if key != "places"}), entry["places"]


def journal(owned: Path) -> dict[str, dict[str, Any]]:
    place = _place(owned)
    try:
        kept: dict[str, dict[str, Any]] = json.loads(place.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise HostError(
            f"cannot read {place}, which says what accounts were", why=str(error)
        ) from error
    return kept


def _place(owned: Path) -> Path:
    return owned.with_name("taken-over.json")


def _keep(owned: Path, entries: dict[str, dict[str, Any]]) -> None:
    write(_place(owned), json.dumps(entries, sort_keys=True), 0o600)
