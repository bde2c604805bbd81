"""An sshd of this host that trusts our authorities and does not run the session hook, by how it was started.

What the command line tells it counts before the files, and the PAM service is called as it was started: a certificate would
open as many connections there as somebody likes. Source: sshd(8), sshd_config(5), UsePAM and PAMServiceName.
"""

from __future__ import annotations

import contextlib
import grp

from ostiary.doors.servers.agent import sshd
from ostiary.doors.servers.agent.files import MANAGED, HostError, Paths
from ostiary.doors.servers.agent.sshd_listeners import Listener, listeners


def why(paths: Paths) -> str:
    """One sentence of the first that is so; "" if all that listen count."""
    for one in listeners(paths.ssh):
        as_the_files_say = one.name == paths.pam.name and not set(one.told) & {"-f", "-o"}
        if not as_the_files_say and (fault := _fault(one, paths)):
            return (
                f"the sshd with process id {one.pid} {fault}, so nobody counts certificates there"
            )
    return ""


def _fault(one: Listener, paths: Paths) -> str:
    try:
        said = sshd.effective(paths.sshd_config, _somebody(), one.told)
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
