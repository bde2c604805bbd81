"""Accounts in /etc/passwd and its kind, by the host's own useradd, usermod and groupadd: argument lists, no shell."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ostiary.doors.servers.agent.accounts_lookup import Lookup, User
from ostiary.doors.servers.agent.accounts_owned import NOLOGIN
from ostiary.doors.servers.agent.accounts_wanted import Account
from ostiary.doors.servers.agent.files import MANAGED, HostError
from ostiary.doors.servers.agent.run import attempt, run
from ostiary.doors.servers.wire.host import HostGroup

LOCK = Path("/etc/.pwd.lock")
PATIENCE = 30.0  # seconds; apt holds the lock while it installs packages that make users
NO_PASSWORD = "*"  # noqa: S105 - no password is right; "!" would count as locked where sshd runs without PAM

# useradd warns of numbers above UID_MAX (60000), where every project's are.
_NO_WARNING = ("-K", "UID_MIN=1000", "-K", "UID_MAX=2147483647")
# The numbers that useradd lends for rootless containers (subuid(5)) begin at 100000, where LocalUsers' own may be.
_NONE_LENT = ("-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0")
# useradd takes a byte of memory for each number below that of a group which it makes.
_MOST_ALONG = 16 * 1024 * 1024
# Clearing the logs of whoever had the number before takes a third of its time, and no project gives a number twice.
_NO_LOGS = ("--no-log-init",)

Argv = tuple[str, ...]


@contextlib.contextmanager
def locked(lock: Path, patience: float) -> Iterator[None]:
    """Hold the lock of lckpwdf(3), which useradd and its kind take. HostError when somebody else has it for too long."""
    end = time.monotonic() + patience
    try:
        file = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise HostError(f"cannot open {lock}: {error.strerror}") from error
    try:
        while not _taken(file):
            if time.monotonic() > end:
                raise HostError(f"{lock} is held for more than {patience:.0f} s")
            time.sleep(0.1)
        yield
    finally:
        os.close(file)


def _taken(file: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # both, says fcntl(2)
        return False
    return True


def group_commands(group: HostGroup, lookup: Lookup) -> list[Argv]:
    """``gid`` 0: any free number of the system's range."""
    if lookup.group(group.name):
        return []
    number = ("-g", str(group.gid)) if group.gid else ("--system",)
    return [("groupadd", *number, "--", group.name)]


def account_commands(
    account: Account, there: User | None, groups: tuple[str, ...], *, own_group: bool = False
) -> list[Argv]:
    """What brings the account from ``there`` (member of ``groups``) to what it should be; nothing if it is so.

    With ``own_group`` the group of its name is made along with it.
    """
    if there is None:
        if account.closed:
            return []
        return [
            (
                *(
                    "useradd",
                    "-M",
                    *(_own_group(account.gid) if own_group else ("-N", "-g", str(account.gid))),
                    *_NO_LOGS,
                    *_NO_WARNING,
                    *_NONE_LENT,
                    "-u",
                    str(account.uid),
                ),
                *("-G", ",".join(account.groups), "-c", account.comment, "-d", account.home),
                *("-s", account.shell, "-p", NO_PASSWORD, "--", account.name),
            )
        ]
    # The shell says that all is done: shadow first, because a kill can fall between it and passwd.
    first: list[Argv] = []
    options: list[str] = []
    if there.shell != account.shell:
        options += ["-s", account.shell]
        if account.closed:
            first = [("usermod", "-L", "-e", "1", "--", account.name)]
        elif there.shell in NOLOGIN:
            first = [("usermod", "-p", NO_PASSWORD, "-e", "", "--", account.name)]
    if there.comment != account.comment:
        options += ["-c", account.comment]
    if there.home != account.home:
        options += ["-d", account.home]
    if there.gid != account.gid:
        options += ["-g", str(account.gid)]
    if set(groups) != set(account.groups):
        options += ["-G", ",".join(account.groups)]
    return [*first, ("usermod", *options, "--", account.name)] if options else []


def _own_group(gid: int) -> Argv:
    """One command in place of two. useradd(8) picks the number of such a group within these bounds: there is one."""
    return ("-U", "-K", f"GID_MIN={gid}", "-K", f"GID_MAX={gid}")


def bring(
    accounts: Iterable[Account],
    groups: Iterable[HostGroup],
    lookup: Lookup,
    failed: Callable[[str, HostError], None],
) -> None:
    """Make groups, then accounts. What fails is told to ``failed`` and stops nobody else."""
    members = lookup.groups_of()
    accounts = sorted(accounts, key=lambda one: not one.closed)
    groups = list(groups)
    new = {
        one.name: one.gid
        for one in accounts
        if one.gid < _MOST_ALONG and not (one.closed or lookup.user(one.name))
    }
    along = {
        one.name for one in groups if new.get(one.name) == one.gid and not lookup.group(one.name)
    }
    before = [one for one in groups if one.name not in along]
    work = [
        (group.name, group_commands(group, lookup)) for group in [HostGroup(MANAGED, 0), *before]
    ]
    for one in accounts:
        there, named = lookup.user(one.name), members.get(one.name, ())
        commands = account_commands(one, there, named, own_group=one.name in along)
        work.append((one.name, commands))
    if any(commands for _, commands in work):
        try:
            with locked(LOCK, PATIENCE):
                pass  # each of them locks for itself; here only the waiting is bounded, once for all together
        except HostError as error:
            failed("accounts", error)
            return
    for name, commands in work:
        try:
            for command in commands:
                run(*command)
        except HostError as error:
            failed(name, error)


def complaints() -> tuple[str, ...]:
    """What pwck(8) and grpck(8) find wrong with the files in /etc; read only."""
    return complaints_of(("pwck", "-r", "-q"), ("grpck", "-r"))


def complaints_of(*commands: Argv) -> tuple[str, ...]:
    found: list[str] = []
    for command in commands:
        code, out, said = attempt(*command)
        if code:
            lines = [line for line in out.decode("utf-8", "replace").splitlines() if line]
            found += lines or [f"{command[0]} ended with {code}: {said}"]
    return tuple(sorted(found))
