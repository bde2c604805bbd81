"""LocalUsers who may have no shell here: by sftp only, through this server only, or not at all any more.

What they started while they had one ends once, with their jobs put aside (``cutting.py``). And systemd's manager for them
stays away: pam_systemd starts it for every session, one of sftp too, and it would start what lies in their
~/.config/systemd/user. One drop-in says so for whoever has a mark; a mark is a file by the name of the UID, which needs no
reload of systemd. Source: pam_systemd(8), user@.service(5), systemd.unit(5): ``%i`` is the UID, a condition that does not hold
is no failure. That systemd heeds it is unverified: no systemd runs where this is tested.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Mapping
from pathlib import Path

from ostiary.doors.servers.agent import cutting
from ostiary.doors.servers.agent.accounts_work import Work
from ostiary.doors.servers.agent.files import HostError, folder, sync, write
from ostiary.doors.servers.agent.run import attempt
from ostiary.doors.servers.wire.host import HostUser

UNITS = Path("/etc/systemd/system")
BOOTED = Path("/run/systemd/system")  # sd_booted(3)
DROP_IN = "user@.service.d/00-ostiary.conf"
NEVER = """\
# made by ostiary, for users who may have no shell here; changes here are undone
[Unit]
ConditionPathExists=!{marks}/%i
"""


def has_shell(user: HostUser) -> bool:
    return any(not (entry.hop or entry.sftp_only) for entry in user.entries)


def confine(work: Work, path: Path, units: Path = UNITS) -> None:
    """Bring it in line for all users of ``work``; who could not be confined has a problem, and does not enter."""
    confined = [one for one in work.users if not has_shell(one) and one.login not in work.problems]
    if units.is_dir():
        marks = path.with_name("confined")
        _mark(work, {str(user.uid): user.login for user in confined}, units / DROP_IN, marks)
    known = work.owned.confined
    still = {user.login for user in confined}
    known[:] = [login for login in known if login in still]
    done = set(known)
    for user in confined:
        if user.login in done or user.login in work.problems:
            continue
        there = work.lookup.user(user.login)
        removed = path.with_name("removed")
        if there is None or work.attempt(
            user.login,
            functools.partial(cutting.cut, user.login, there.uid, Path(there.home), removed),
        ):
            known.append(user.login)
    work.owned.keep(path)


def _mark(work: Work, wanted: Mapping[str, str], drop_in: Path, marks: Path) -> None:
    """``wanted`` are logins by UID."""
    there = {one.name for one in marks.iterdir()} if marks.is_dir() else set()
    if wanted:
        try:
            _say_never(drop_in, marks)
        except HostError as error:
            for login in wanted.values():
                work.failed(login, error)
    for uid in wanted.keys() - there:
        work.attempt(wanted[uid], functools.partial(_touch, marks / uid))
    for uid in there - wanted.keys():
        with contextlib.suppress(OSError):
            (marks / uid).unlink()
    if wanted.keys() != there:
        work.attempt(str(marks), functools.partial(sync, marks))
    if not wanted:
        with contextlib.suppress(OSError):
            marks.rmdir()
        if drop_in.exists():
            work.attempt(str(drop_in), functools.partial(_let_be, drop_in))


def _say_never(drop_in: Path, marks: Path) -> None:
    """HostError if it cannot be written, or systemd does not read it: it is asked again until it has, also by the next run."""
    folder(marks, 0o700)
    folder(drop_in.parent)
    text = NEVER.format(marks=marks)
    unread = marks.with_name("systemd-unread")
    if not (drop_in.is_file() and drop_in.read_text("utf-8", "replace") == text):
        write(unread, "", 0o600)
    write(drop_in, text)
    if unread.exists():
        _read_again()
        unread.unlink()


def _let_be(drop_in: Path) -> None:
    drop_in.unlink()
    _read_again()
    with contextlib.suppress(OSError):  # somebody else's drop-in may be there
        drop_in.parent.rmdir()


def _touch(mark: Path) -> None:
    os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def _read_again() -> None:
    if BOOTED.is_dir():
        code, _, said = attempt("systemctl", "daemon-reload")
        if code:
            raise HostError("systemd does not read its units again", why=said or str(code))
