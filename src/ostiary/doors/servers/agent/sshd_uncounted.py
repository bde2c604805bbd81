"""An sshd of this host that trusts our authorities and does not run the session hook, by how it was started.

What the command line tells it counts before the files, and the PAM service is called as it was started: a certificate would
open as many connections there as somebody likes. Source: sshd(8), sshd_config(5), UsePAM and PAMServiceName.
"""

from __future__ import annotations

import contextlib
import grp
import time
from collections.abc import Iterator

from ostiary.doors.servers.agent import sshd
from ostiary.doors.servers.agent.files import MANAGED, HostError, Paths
from ostiary.doors.servers.agent.sshd_listeners import Listener, listeners


def why(paths: Paths) -> str:
    """One sentence of the first that is so; "" if all that listen count, or do not say in time: ``unknown``."""
    for one, fault in _looks(paths):
        if fault:
            return (
                f"the sshd with process id {one.pid} {fault}, so nobody counts certificates there"
            )
    return ""


def unknown(paths: Paths) -> tuple[str, ...]:
    """One sentence for each of which it is not known."""
    return tuple(
        f"the sshd with process id {one.pid} was started with options of its own, and sshd does not say in time what they"
        " do: whether anybody counts certificates there is not known"
        for one, fault in _looks(paths)
        if fault is None
    )


def _looks(paths: Paths) -> Iterator[tuple[Listener, str | None]]:
    """Those that the files do not say all of, with what is wrong there; None for one that does not say in time.

    Of the time for all, each has an equal share of what is left: one that hangs hides no other.
    """
    others = [
        one
        for one in listeners(paths.ssh)
        if one.name != paths.pam.name or set(one.told) & {"-f", "-o"}
    ]
    end = time.monotonic() + sshd.OTHERS_SECONDS
    for number, one in enumerate(others):
        share = (end - time.monotonic()) / (len(others) - number)
        try:
            yield one, _fault(one, paths, max(share, 0))
        except sshd.Late:
            yield one, None


def _fault(one: Listener, paths: Paths, seconds: float) -> str:
    """Late if it does not say within that time."""
    try:
        said = sshd.effective(paths.sshd_config, _somebody(), one.told, seconds)
    except sshd.Late:
        raise
    except HostError:
        return ""  # such a configuration it has not read
    if {str(paths.authorities), str(paths.break_glass)}.isdisjoint(
        said.get("trustedusercakeys", ())
    ):
        return ""
    if said.get("usepam") != ["yes"]:
        return "was started with UsePAM no"
    service = said.get("pamservicename", [one.name])[0]
    return "" if service == paths.pam.name else f"uses the PAM service {service}"


def _somebody() -> str:
    """A managed user, for whom sshd trusts the user authorities; root while there is none."""
    with contextlib.suppress(KeyError):
        return next(iter(grp.getgrnam(MANAGED).gr_mem), "root")
    return "root"
