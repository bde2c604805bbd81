"""The group that every LocalUser of ours is in, and how a host goes over to it from the name that it had before.

sshd's Match block and PAM's line go by a group. Where an older agent set a host up they go by FORMER, which a service account
may be called too. Such a host is moved over while people log in: everybody is put into the new group beside the former,
sshd and PAM are told of the new one, and when nothing has gone by the former for a while it is taken away. At each moment
each of the two goes by a group that everybody of ours is in; all of this is read off the host, but for the former's GID.
"""

from __future__ import annotations

import contextlib
import grp
import time
from pathlib import Path

from ostiary.doors.servers.agent import extrausers, sshd_text
from ostiary.doors.servers.agent.accounts_lookup import Lookup, local_names
from ostiary.doors.servers.agent.accounts_owned import Owned
from ostiary.doors.servers.agent.files import FORMER, MANAGED, Paths, folder, write
from ostiary.doors.servers.agent.run import run

GRACE = 600.0  # seconds: who began to log in before sshd was told still goes by the former; LoginGraceTime is 120
JUMP = "pam_succeed_if.so quiet user ingroup"
BLOCK, LINE = "Match Group {}\n", JUMP + " {}\n"


def names(paths: Paths) -> tuple[str, ...]:
    """The groups that our accounts are to be in now."""
    return (MANAGED, FORMER) if _is_needed(paths) else (MANAGED,)


def members(lookup: Lookup, paths: Paths) -> set[str]:
    """Whoever sshd and PAM take for one of ours."""
    known = (lookup.group(name) for name in {MANAGED, *_gone_by(paths)})
    return {member for group in known if group for member in group.members}


def belong(paths: Paths) -> set[str]:
    """The same with those whose own group it is: a service account that is called as the group was."""
    lookup = Lookup.now()
    gids = {group.gid for name in _gone_by(paths) if (group := lookup.group(name))}
    of_gid = {one.name for one in lookup.users.values() if one.gid in gids}
    return of_gid | members(lookup, paths)


def holds(paths: Paths) -> bool:
    """Whether sshd's block and PAM's line go by a group that everybody of ours is in, be it the former.

    A PAM stack of a still older agent has no such line: everybody passes the hook there.
    """
    pam = _text(paths.pam)
    return _goes_by(_block(paths), BLOCK) and (JUMP not in pam or _goes_by(pam, LINE))


def end(paths: Paths) -> None:
    """Take the former group away when nothing goes by it any more, if it was ours alone. From another's ours are taken out
    with their accounts.
    """
    if not _is_there():
        return
    lookup = Lookup.now()
    group = lookup.group(FORMER)
    if group and FORMER in _gone_by(paths):
        folder(paths.var, 0o700)
        write(_mark(paths), f"{group.gid}\n", 0o600)
    if group is None or _is_needed(paths):
        return
    others = any(one.gid == group.gid for one in lookup.users.values())
    held = set(group.members)
    was_ours = held or _text(_mark(paths)).strip() == str(group.gid)
    if others or not was_ours or not held <= Owned.look(paths.owned):
        return
    if FORMER in local_names(Path("/etc/group")):
        run("groupdel", "--", FORMER)
    extrausers.without((), (FORMER,))
    _mark(paths).unlink(missing_ok=True)


def _mark(paths: Paths) -> Path:
    """Its GID, while sshd or PAM went by it: one that has no member would show by nothing else whose it was."""
    return paths.var / "former-group"


def _is_needed(paths: Paths) -> bool:
    if not _is_there():
        return False
    if FORMER in _gone_by(paths):
        return True
    return not Owned.look(paths.owned).isdisjoint(_members(FORMER)) and _lately(paths)


def _is_there(name: str = FORMER) -> bool:
    """Asked for by its name: a directory need not list everybody for a host that knows no such group."""
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _lately(paths: Paths) -> bool:
    """Whether sshd or PAM may have gone by something else a moment ago."""
    now, changed = time.time(), []
    for one in (paths.drop_in, paths.sshd_config, paths.pam):
        with contextlib.suppress(OSError):
            changed.append(one.stat().st_mtime)
    return paths.unread.exists() or max(changed, default=now) > now - GRACE


def _gone_by(paths: Paths) -> set[str]:
    texts = ((_block(paths), BLOCK), (_text(paths.pam), LINE))
    return {name for name in (MANAGED, FORMER) for text, form in texts if form.format(name) in text}


def _goes_by(text: str, form: str) -> bool:
    if form.format(MANAGED) in text:
        return _is_there(MANAGED)
    return form.format(FORMER) in text and _members(MANAGED) <= _members(FORMER)


def _block(paths: Paths) -> str:
    """What is ours of sshd's files."""
    if paths.drop_in.exists():
        return _text(paths.drop_in)
    return sshd_text.of_blocks(_text(paths.sshd_config))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _members(name: str) -> set[str]:
    return Lookup.now().members(name)
