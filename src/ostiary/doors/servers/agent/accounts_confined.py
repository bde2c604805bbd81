"""LocalUsers who may have no shell here: by sftp only, through this server only, or not at all any more.

What they started while they had one ends once, with their jobs put aside (``cutting.py``). And systemd's manager for them
stays away: pam_systemd starts it for every session, one of sftp too, and it would start what lies in their
~/.config/systemd/user. Source: pam_systemd(8), systemd.unit(5): a condition that does not hold is no failure. That systemd
heeds it is unverified: no systemd runs where this is tested.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable
from pathlib import Path

from ostiary.doors.servers.agent import cutting
from ostiary.doors.servers.agent.accounts_work import Work
from ostiary.doors.servers.agent.files import HostError, folder, write
from ostiary.doors.servers.agent.run import attempt
from ostiary.doors.servers.wire.host import HostUser

UNITS = Path("/etc/systemd/system")
BOOTED = Path("/run/systemd/system")  # sd_booted(3)
NAME = "00-ostiary.conf"
NEVER = """\
# made by ostiary, as this user may have no shell here; changes here are undone
[Unit]
ConditionPathExists=!/
"""


def has_shell(user: HostUser) -> bool:
    return any(not (entry.hop or entry.sftp_only) for entry in user.entries)


def confine(work: Work, path: Path, units: Path = UNITS) -> None:
    """Bring it in line for all users of ``work``; who could not be confined has a problem, and does not enter."""
    confined = [one for one in work.users if not has_shell(one) and one.login not in work.problems]
    for user in confined:
        work.attempt(user.login, functools.partial(_keep_away, units, user.uid))
    _let_back(units, {user.uid for user in confined})
    known = work.owned.confined
    known[:] = [login for login in known if login in {user.login for user in confined}]
    for user in confined:
        if user.login in known or user.login in work.problems:
            continue
        there = work.lookup.user(user.login)
        removed = path.with_name("removed")
        if there is None or work.attempt(
            user.login,
            functools.partial(cutting.cut, user.login, there.uid, Path(there.home), removed),
        ):
            known.append(user.login)
    work.owned.keep(path)


def _keep_away(units: Path, uid: int) -> None:
    """HostError if it cannot be written."""
    if units.is_dir():
        file = _file(units, uid)
        folder(file.parent)
        if write(file, NEVER):
            _read_again()


def _let_back(units: Path, kept: Iterable[int]) -> None:
    wanted = {_file(units, uid) for uid in kept}
    for file in set(units.glob(f"user@*.service.d/{NAME}")) - wanted:
        with contextlib.suppress(OSError):
            file.unlink()
            _read_again()
            file.parent.rmdir()


def _file(units: Path, uid: int) -> Path:
    return units / f"user@{uid}.service.d" / NAME


def _read_again() -> None:
    if BOOTED.is_dir():
        code, _, said = attempt("systemctl", "daemon-reload")
        if code:
            raise HostError("systemd does not read its units again", why=said or str(code))
