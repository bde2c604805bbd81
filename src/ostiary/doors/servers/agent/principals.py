"""The principals files: per LocalUser one file, with a line per way in and what that way permits.

Source: sshd(8) AUTHORIZED_KEYS FILE FORMAT, whose options may stand before a principal (sshd_config(5),
AuthorizedPrincipalsFile). sshd joins them with the options of the certificate: what one of both forbids is forbidden, and
two commands that differ refuse the login.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from ostiary.doors.servers.agent.files import HostError, Paths, own_folder, swept, write
from ostiary.doors.servers.wire import near
from ostiary.doors.servers.wire.host import Entry, HostUser

LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PRINCIPAL = re.compile(r"[a-z_][a-z0-9_-]{0,31}@[A-Za-z0-9_-]{1,64}(\.hop)?")
_TARGET = re.compile(r"(\*|[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(\*|[0-9]{1,5})")
SFTP = "internal-sftp"
# What a hop may run. A command of a shell's would read the user's ~/.bashrc first (bash(1), sshd as its parent), so it is
# one that sshd runs in itself: it refuses whatever is no sftp, and to sftp says how sftp-server(8) is called, and ends.
NOTHING = f"{SFTP} -h"


def line(entry: Entry) -> str:
    """HostError for what could be read as something else. What a hop may not reach is left out (``too_near``)."""
    if not _PRINCIPAL.fullmatch(entry.principal) or entry.hop != entry.principal.endswith(".hop"):
        raise HostError(f"{entry.principal[:80]!r} is no principal of ours")
    for target in entry.forward:
        if not _TARGET.fullmatch(target):
            raise HostError(f"{target[:80]!r} is no target to forward to")
    options = ["restrict"]
    if entry.hop:
        options.append(f'command="{NOTHING}"')
    elif entry.sftp_only:
        options.append(f'command="{SFTP}"')
    else:
        options.append("pty")
        options += ["agent-forwarding"] * entry.agent_forwarding + ["X11-forwarding"] * entry.x11
    closed = too_near(entry)
    if forward := [target for target in entry.forward if target not in closed]:
        options.append("port-forwarding")
        options += [f'permitopen="{target}"' for target in forward]
    return f"{','.join(options)} {entry.principal}"


def too_near(entry: Entry) -> tuple[str, ...]:
    """Targets of a hop that lead into this host itself, or to what answers it alone.

    A rule may forward to loopback: whoever it is for has a shell here. A hop is for whoever may enter the host behind,
    and the address of that host is what the one said who enrolled it.
    """
    own = os.uname().nodename.lower()
    names = own, own.partition(".")[0]
    return tuple(
        one for one in entry.forward if entry.hop and near.is_itself(one.rpartition(":")[0], *names)
    )


def held(paths: Paths) -> set[str]:
    """The accounts that have a file."""
    return {one.name for one in paths.principals.iterdir()} if paths.principals.is_dir() else set()


def close(paths: Paths, named: Collection[str]) -> None:
    """Nobody else than ``named`` enters from now on. HostError of the first file that stays, when all others are gone."""
    with _each() as attempt:
        for one in paths.principals.iterdir() if paths.principals.is_dir() else ():
            if (
                one.name not in named and not one.is_dir()
            ):  # a folder lets nobody in: sshd reads files
                attempt(_remove, one)


def narrow(paths: Paths, users: Sequence[HostUser]) -> None:
    """Nobody enters from now on by a way that is not his any more, or is another now; what is new is opened later."""
    with _each() as attempt:
        for user in users:
            path = paths.principals / user.login
            if LOGIN.fullmatch(user.login) and path.is_file():
                attempt(_narrow, path, user)


def _narrow(path: Path, user: HostUser) -> None:
    try:
        ways = {_way(one) for one in _lines(user)}
    except HostError:  # told by bring_in_line
        ways = set()
    there = path.read_text("utf-8", "replace").splitlines(keepends=True)
    kept = [one for one in there if _way(one) in ways]
    if not kept:
        _remove(path)
    elif kept != there:
        try:
            write(path, "".join(kept))
        except HostError:  # the disk is full: no way is less than one too many
            _remove(path)
            raise


def _way(text: str) -> tuple[str, str]:
    """Of a line: its principal, and what alone it runs. Targets to forward to may change without a moment of no way."""
    command = re.search(r'command="([^"]*)"', text)
    return text.rpartition(" ")[2].strip(), command[1] if command else ""


def _lines(user: HostUser) -> list[str]:
    """HostError as ``line``."""
    return [f"{line(entry)}\n" for entry in user.entries]


def bring_in_line(
    users: Sequence[HostUser], paths: Paths, others: Mapping[str, str]
) -> tuple[str, ...]:
    """Write the files of ``users`` and remove everybody else's; the problems.

    ``others`` are accounts with the one principal that enters there (break-glass). Where one is a LocalUser's too, the
    line of his own permits no more than before.
    """
    own_folder(paths.principals)
    swept(paths.principals)
    problems, wanted = [], {}
    for user in users:
        try:
            wanted[_login(user)] = "".join(_lines(user))
        except HostError as error:
            problems.append(f"ways in of {user.login[:40]!r}: {error}")
    closed = {target for user in users for entry in user.entries for target in too_near(entry)}
    problems += (
        f"nobody passes to {one} through this host: that is itself" for one in sorted(closed)
    )
    for login, principal in others.items():
        own = wanted.get(login, "")
        if principal not in {_way(one)[0] for one in own.splitlines()}:
            wanted[login] = f"{own}{principal}\n"
    close(paths, wanted)
    for login, text in wanted.items():
        try:
            write(paths.principals / login, text)
        except HostError as error:
            problems.append(f"ways in of {login}: {error}")
    return tuple(problems)


def unsafe(paths: Paths) -> Iterator[str]:
    """What above the files keeps sshd from reading them. Source: StrictModes of sshd_config(5), safe_path in misc.c."""
    for one in paths.etc.parents:
        there = one.stat()
        if there.st_uid != 0 or there.st_mode & 0o022:
            yield f"{one} is not root's alone to write, so sshd lets nobody in by a certificate: run: chmod go-w {one}"


@contextlib.contextmanager
def _each() -> Iterator[Callable[..., None]]:
    """Attempts of which each is made, whatever becomes of the others. HostError of the first that failed, at the end."""
    failed: list[HostError] = []

    def attempt(work: Callable[..., None], *given: object) -> None:
        try:
            work(*given)
        except HostError as error:
            failed.append(error)

    yield attempt
    if failed:
        raise failed[0]


def _login(user: HostUser) -> str:
    if not LOGIN.fullmatch(user.login):
        raise HostError("that is no name of a LocalUser")
    return user.login


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise HostError(f"cannot remove {path}: {error.strerror}") from error
