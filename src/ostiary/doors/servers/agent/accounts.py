"""LocalUsers and groups of this host: made, brought in line, closed; only ever those that are ours.

A name or a number that somebody else has is a conflict: it is reported and left alone (``takeover`` is the reviewed way).
Whom the control plane no longer names is closed and cut off; his home stays, his UID is never used again.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ostiary.doors.servers.agent import accounts_confined, accounts_home, cutting, names
from ostiary.doors.servers.agent.accounts_lookup import Lookup, local_names
from ostiary.doors.servers.agent.accounts_owned import NOLOGIN, Owned, alone
from ostiary.doors.servers.agent.accounts_wanted import (
    Account,
    account,
    conflicts,
    is_too_long,
    without_room,
)
from ostiary.doors.servers.agent.accounts_work import Work, complaints
from ostiary.doors.servers.agent.files import MANAGED, HostError
from ostiary.doors.servers.agent.run import attempt
from ostiary.doors.servers.wire.host import HostGroup, HostUser

HOMES = Path("/home")


@dataclass(frozen=True)
class Applied:
    """``entering`` are the users whose accounts are as they should be; nobody else gets a principals file or sudo."""

    entering: tuple[HostUser, ...]
    problems: tuple[str, ...]


def apply(
    users: Iterable[HostUser],
    groups: Iterable[HostGroup],
    owned: Path,
    managed: Sequence[str] = (MANAGED,),
) -> Applied:
    """Bring this host's accounts in line. ``owned`` is the list of what is ours, beside which jobs and keys are put aside;
    ``managed`` are the groups that all of ours are in (``managed_group.names``).

    HostError if nothing could be done at all. A run that was killed at any moment is finished by the next.
    """
    with alone(owned):
        lookup = Lookup.now()
        try:
            ours = Owned.read(owned, lookup)
        except OSError as error:
            raise HostError(f"cannot read {owned}, so no account is touched: {error}") from error
        work = Work(tuple(users), tuple(groups), ours, lookup, local_names(), tuple(managed))
        ours.know_again(work.users, lookup)
        work.problems.update(without_room(work.users, lookup.members(MANAGED)))
        work.problems.update(conflicts(work.users, work.groups, ours, lookup))
        before = complaints()
        try:
            _intend(work, owned)
        except HostError:  # the disk may be full, and by one of them: nothing is made or closed then, but whoever is gone is out
            _end(work)
            raise
        _close(work, owned)
        accounts_confined.confine(work, owned)
        _open(work)
        work.repair()
        if new := sorted(set(complaints()) - set(before)):
            work.problems["files of accounts"] = "; ".join(new[:5])
        entering = _entering(work)
    lines = (names.shown(f"{name}: {why}") for name, why in sorted(work.problems.items()))
    return Applied(entering, tuple(lines))


def _intend(work: Work, path: Path) -> None:
    """Write down what will be ours before any of it is made, and whom it is to be closed for before he is."""
    wanted = {user.login: user for user in work.users}
    owned = work.owned
    for login, user in wanted.items():
        if login not in work.problems:
            owned.users[login] = user.uid
            owned.groups[login] = user.gid
            owned.gone.pop(login, None)
            if login in owned.cut:
                owned.cut.remove(login)
    for group in work.groups:
        if f"group {group.name}" not in work.problems:
            owned.groups[group.name] = group.gid
    for login in set(owned.users) - set(wanted):
        owned.gone[login] = owned.users.pop(login)
    owned.keep(path)


def _close(work: Work, path: Path) -> None:
    """Let those in no more who are gone, then end what they run: before anything that takes its time."""
    closed = {login: one for login in sorted(work.owned.gone) if (one := _closed(work, login))}
    if closed:
        work.bring(closed.values(), ())
    done, numbers = set(work.owned.cut), _numbers(work)
    before = {login: uid for login, uid in numbers.items() if login in done}
    work.attempt("processes", lambda: cutting.end_all(before))
    for login, uid in numbers.items():
        if login not in done:
            home = Path(closed[login].home) if login in closed else HOMES / login
            removed = path.with_name("removed")
            cut = functools.partial(cutting.cut, login, uid, home, removed)
            if login not in closed and work.lookup.user(
                login
            ):  # jobs of that name are another's by now
                cut = functools.partial(cutting.end_all, {str(uid): uid})
            if work.attempt(login, cut):
                work.owned.cut.append(login)
    work.owned.keep(path)


def _end(work: Work) -> None:
    work.attempt("processes", lambda: cutting.end_all(_numbers(work)))


def _numbers(work: Work) -> dict[str, int]:
    """Those who are gone and their UIDs, also where somebody took the account's line away; never another's number."""
    holders = {login: work.lookup.uid(uid) for login, uid in work.owned.gone.items()}
    return {
        login: work.owned.gone[login]
        for login, holder in sorted(holders.items())
        if holder is None or holder.name == login
    }


def _closed(work: Work, login: str) -> Account | None:
    there = work.lookup.user(login)
    if there is None:
        return None
    if there.uid != work.owned.gone[login]:
        work.problems[login] = (
            f"it was made with UID {work.owned.gone[login]} and has {there.uid}: left alone"
        )
        return None
    nologin = next(one for one in NOLOGIN if Path(one).exists() or one == NOLOGIN[-1])
    return Account(
        login, there.uid, there.gid, there.comment, there.home, nologin, work.managed, closed=True
    )


def _open(work: Work) -> None:
    """Make groups, accounts and homes of everybody without a conflict."""
    users = [user for user in work.users if user.login not in work.problems]
    groups = [group for group in work.groups if f"group {group.name}" not in work.problems]
    shared, shells = {group.name for group in groups}, _shells()
    accounts = []
    for user in users:
        there = work.lookup.user(user.login)
        home = there.home if there else str(HOMES / user.login)
        made = account(user, shared, shells, home, work.managed)
        accounts.append(made)
        if made.shell != user.shell:
            work.problems[f"shell of {user.login}"] = (
                f"{user.shell} is not here, {made.shell} is used"
            )
        if left_out := sorted(set(user.groups) - shared):
            work.problems[f"groups of {user.login}"] = f"not given: {', '.join(left_out)}"
    private = [HostGroup(user.login, user.gid) for user in users]
    work.bring(accounts, [*groups, *private])
    work.lookup = Lookup.now()
    if left := _in_more_groups(work.lookup, accounts):
        # Of somebody who had the name before: useradd(8) leaves them where they are.
        work.bring([one for one in accounts if one.name in left], ())
        work.lookup = Lookup.now()
    for name, more in _in_more_groups(work.lookup, accounts if left else ()).items():
        why = (
            f"it is named as a member of {', '.join(more)}, which no rule gives: take it out there"
        )
        work.problems[name] = why
    fresh = []
    for one in accounts:
        try:
            if work.lookup.user(one.name) and accounts_home.make(one):
                fresh.append(one.home)
        except HostError as error:
            work.failed(one.name, error)
    if fresh and Path("/sys/fs/selinux/enforce").exists():
        attempt("restorecon", "-R", *fresh)


def _in_more_groups(lookup: Lookup, accounts: Iterable[Account]) -> dict[str, list[str]]:
    """Accounts that groups name as members which should not: sudo, docker. Their own group may."""
    named = lookup.groups_of()
    found = {one.name: {*named.get(one.name, ())} - {*one.groups, one.name} for one in accounts}
    return {name: sorted(more) for name, more in found.items() if more}


def _entering(work: Work) -> tuple[HostUser, ...]:
    """Those whose accounts were seen to be right after all was done."""
    members = work.lookup.members(MANAGED)
    if is_too_long(members):
        work.problems[f"group {MANAGED}"] = "it is longer than PAM can read, so nobody enters"
        return ()
    if strangers := sorted(members - {*work.owned.users, *work.owned.gone}):
        told = f"has members that are not ours, whom sshd treats as such: {', '.join(strangers)}"
        work.problems[f"group {MANAGED}"] = told
    found = []
    for user in work.users:
        there = work.lookup.user(user.login)
        right = there and (there.uid, there.gid) == (user.uid, user.gid)
        if right and user.login in members and user.login not in work.problems:
            found.append(user)
        elif user.login not in work.problems:
            work.problems[user.login] = "the account is not as it should be after all was done"
    return tuple(found)


def _shells() -> frozenset[str]:
    """Those of shells(5) that exist."""
    with contextlib.suppress(OSError):
        lines = Path("/etc/shells").read_text("utf-8", "replace").split()
        return frozenset(one for one in lines if one.startswith("/") and Path(one).exists())
    return frozenset({"/bin/bash", "/bin/sh"})
