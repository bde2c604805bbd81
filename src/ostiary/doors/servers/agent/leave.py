"""Leaving: a host as it was before the agent came, or an image of which many hosts are made.

What is undone first is what lets people in; homes stay, unless an image is made.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

from ostiary.doors.servers.agent import (
    accounts,
    accounts_takeover,
    cutting,
    extrausers,
    identity,
    leftovers,
    managed_group,
    other_ways_close,
    principals,
    sshd_install,
    sudoers,
)
from ostiary.doors.servers.agent.accounts_lookup import Lookup, local_names
from ostiary.doors.servers.agent.accounts_owned import Owned
from ostiary.doors.servers.agent.control import Control, Refused
from ostiary.doors.servers.agent.files import Paths, write
from ostiary.doors.servers.agent.reconcile import step
from ostiary.doors.servers.agent.run import attempt, run

UNKNOWN = ("retired", "bad-proof", "no-server")  # or it takes another key for this host's
MACHINE_ID = Path("/etc/machine-id")


def remove(paths: Paths, *, retire: bool, say: Callable[[str], None]) -> tuple[str, ...]:
    """Close everybody's account, take the agent's configuration away, and tell the control plane; the problems.

    Where it knows this host no more, ``say`` hears so, and that is all. LocalUsers stay closed with their homes and UIDs, so that no file of theirs becomes somebody else's; accounts that were
    taken over become what they were.
    """
    problems: list[str] = []
    if retire:
        step(problems, "retire", lambda: _retire(paths, say))
    managed = managed_group.names(paths)
    step(problems, "principals", lambda: principals.close(paths, ()))
    problems += step(problems, "taken over", lambda: accounts_takeover.all_back(paths.owned)) or ()
    done = step(problems, "accounts", lambda: accounts.apply((), (), paths.owned, managed))
    problems += done.problems if done else ()
    problems += step(problems, "sudo", lambda: sudoers.apply((), paths.sudoers)) or ()
    problems += step(problems, "other ways", lambda: other_ways_close.reopen(paths)) or ()
    step(problems, "sshd", lambda: sshd_install.take_away(paths))
    step(problems, "files", lambda: leftovers.sweep(paths))
    if not problems:
        kept = (paths.identity, paths.state, identity.authority(paths))
        for one in (*kept, paths.spool, paths.sending, paths.untold):
            one.unlink(missing_ok=True)
        shutil.rmtree(paths.ledger, ignore_errors=True)
    return tuple(problems)


def prepare_image(paths: Paths, say: Callable[[str], None]) -> tuple[str, ...]:
    """Strip what makes this host this host: identity, state, ledger, accounts with their homes, host keys, machine id.

    The agent itself stays installed; a host made of the image enrols anew.
    """
    owned = Owned.read(paths.owned, Lookup.now()) if paths.owned.exists() else Owned()
    managed = managed_group.names(paths)
    problems = list(remove(paths, retire=paths.identity.exists(), say=say))
    if problems:
        return tuple(problems)
    names = {**owned.users, **owned.gone}
    for login, uid in sorted(names.items()):
        step(problems, login, functools.partial(_delete, login, uid))
    for group in sorted({*owned.groups, *managed}):
        attempt("groupdel", "--", group)
    step(problems, "groups", lambda: extrausers.without((), {*owned.groups, *managed}))
    if problems:
        return tuple(problems)
    shutil.rmtree(paths.var, ignore_errors=True)
    for key in paths.ssh.glob("ssh_host_*_key*"):
        key.unlink()
    if MACHINE_ID.exists():
        write(MACHINE_ID, "", 0o444)  # systemd makes one at the first boot: machine-id(5)
    return ()


def _retire(paths: Paths, say: Callable[[str], None]) -> None:
    who = identity.read(paths)
    control = Control(who.url, paths, who.ca_file, who.name)
    try:
        control.call("POST", "/v1/hosts/retire", server_id=who.server_id)
    except Refused as refused:
        if refused.code not in UNKNOWN:
            raise
        say(f"{refused}; if it is still listed, run there: ostiary servers retire {who.name}")


def _delete(login: str, uid: int) -> None:
    """Account and home, if it is still the one that we made."""
    there = Lookup.now().users.get(login)
    if there is None or there.uid != uid:
        return
    cutting.end_all({login: uid})
    if login in local_names():
        # 12: the home could not be removed, as it is not his
        run("userdel", "--remove", "--", login, fine=(0, 12))
    else:
        extrausers.without((login,), ())
    home = Path(there.home)
    if home.parent == accounts.HOMES and not home.is_symlink() and _is_of(home, uid):
        shutil.rmtree(home)


def _is_of(home: Path, uid: int) -> bool:
    try:
        return home.stat().st_uid == uid
    except FileNotFoundError:
        return False
