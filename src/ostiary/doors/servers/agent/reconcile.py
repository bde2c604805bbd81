"""From a state to a host: in which order things are closed, made and opened.

First nobody enters who should not, and nobody is root by sudo who should not; then accounts and sudo rules; then whom sshd
trusts and what it does; last, who enters. Each step is whole or not at all, so a run that is killed between two of them is
made good by the next, and a step that fails opens nothing that stands on it. What failed is told, not raised.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from importlib import resources
from typing import TypeVar

from ostiary.doors.servers.agent import (
    accounts,
    break_glass,
    leftovers,
    managed_group,
    principals,
    sshd_install,
    sshd_uncounted,
    sudoers,
    sudoers_others,
    trust,
)
from ostiary.doors.servers.agent import hook as session_hook
from ostiary.doors.servers.agent import host_certificate as certificate
from ostiary.doors.servers.agent.files import HostError, Paths, alone
from ostiary.doors.servers.agent.identity import Identity
from ostiary.doors.servers.agent.interpreter import interpreter
from ostiary.doors.servers.wire.host import HostState, HostUser

T = TypeVar("T")
Problems = list[str]


def apply(state: HostState, identity: Identity, paths: Paths) -> tuple[str, ...]:
    """Bring this host in line; the problems, one line each. One agent at a time: the service and somebody's ``once``."""
    problems: Problems = []
    with contextlib.ExitStack() as held:
        if step(problems, "lock", lambda: held.enter_context(alone(paths.var / "agent.lock"))):
            _apply(state, identity, paths, problems)
    return tuple(problems)


def _apply(state: HostState, identity: Identity, paths: Paths, problems: Problems) -> None:
    glass = {identity.break_glass_account} - {""}
    named = {user.login for user in state.users} | glass
    python = interpreter()
    step(problems, "principals", lambda: principals.close(paths, named))
    others = [user for user in state.users if user.login not in glass]
    step(problems, "principals", lambda: principals.narrow(paths, others))
    problems += step(problems, "sudo", lambda: sudoers.narrow(state.users, paths.sudoers)) or ()
    # Only now: sshd is asked for this, and one that somebody started may be slow. Whoever is gone does not gain by it.
    if not sshd_install.in_force(paths):
        step(problems, "principals", lambda: principals.close(paths, glass))
    step(problems, "group", lambda: managed_group.end(paths))
    groups = managed_group.names(paths)
    made = step(
        problems, "accounts", lambda: accounts.apply(state.users, state.groups, paths.owned, groups)
    )
    entering: tuple[HostUser, ...] | None = None
    if made is not None:
        let_in = entering = _unnamed(made.entering, paths, problems)
        problems += step(problems, "sudo", lambda: sudoers.apply(let_in, paths.sudoers)) or ()
    trusted = step(problems, "authorities", lambda: _trust(state, paths, python))
    step(problems, "session hook", _refuses_nobody)
    step(problems, "host certificate", lambda: certificate.bring_in_line(state, paths))
    managed = [user.login for user in entering or ()]
    ready = step(problems, "sshd", lambda: sshd_install.bring_in_line(paths, managed, python))
    if ready is None:
        ready = sshd_install.in_force(paths)
    problems += step(problems, "sshd", lambda: sshd_uncounted.unknown(paths)) or ()
    step(problems, "host certificate", lambda: certificate.serve(paths))
    if entering is not None and trusted:
        entered = _break_glass(state, identity)
        entitled = entering if ready else ()
        wanted = lambda: principals.bring_in_line(entitled, paths, entered)  # noqa: E731
        problems += step(problems, "principals", wanted) or ()
        problems += step(problems, "principals", lambda: tuple(principals.unsafe(paths))) or ()
        for account in entered:
            problems += break_glass.told(account, paths)
    # Last, because there may be one for each account, and of a report the first lines are kept.
    problems += made.problems if made else ()
    step(problems, "files", lambda: leftovers.sweep(paths))


def _unnamed(users: Sequence[HostUser], paths: Paths, problems: Problems) -> tuple[HostUser, ...]:
    """Without those who would enter for the first time and whom the host's own sudoers wait for, or may."""
    entered = principals.held(paths)
    new = [user for user in users if user.login not in entered]
    found = step(problems, "sudo", lambda: sudoers_others.named(new))
    for login, words in sorted((found or {}).items()):
        why = f"the host's own sudoers give rights to {words}, which no rule does: take that out"
        problems.append(f"{login}: {why}")
    out = {user.login for user in new} if found is None else set(found)
    return tuple(user for user in users if user.login not in out)


def _trust(state: HostState, paths: Paths, python: str) -> bool:
    trust.bring_in_line(state, paths, python, hook_text())
    return True


def _refuses_nobody() -> None:
    """HostError where the session hook refuses all that comes: it was proven when it was installed, and the host changes."""
    if session_hook.is_read_only(session_hook.RUN):
        raise HostError(
            f"{session_hook.RUN} is read-only, so certificates of the project are refused",
            fix=f"run: mount -o remount,rw {session_hook.RUN}",
        )


def hook_text() -> str:
    """The text of ``hook.py``, also out of a zipapp."""
    package = resources.files("ostiary.doors.servers.agent")
    return (package / "hook.py").read_text(encoding="utf-8")


def _break_glass(state: HostState, identity: Identity) -> dict[str, str]:
    account = identity.break_glass_account
    return {account: f"{account}@{state.server_id}"} if account and state.break_glass else {}


def step(problems: Problems, name: str, work: Callable[[], T]) -> T | None:
    """What ``work`` gives; None, and a problem, where the host does not let it."""
    try:
        return work()
    except HostError as error:
        problems.append(f"{name}: {error.told}")
    except OSError as error:
        problems.append(f"{name}: {error.filename or ''}: {error.strerror or error}")
    except Exception as defect:  # noqa: BLE001 - a defect in one step keeps no other from closing doors
        problems.append(f"{name}: defect: {type(defect).__name__}: {defect}")
    return None
