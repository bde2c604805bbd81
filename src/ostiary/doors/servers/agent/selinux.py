"""The source of the policy module for hosts where SELinux is enforcing, which travels with the agent. UNTESTED: never loaded.

It is compiled on the host, against the policy that is there. Source: the targeted policy's Makefile in selinux-policy-devel.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ostiary.doors.servers.agent.files import HostError, write_bytes

PACKAGE = "ostiary.doors.servers.agent"
FILES = ("ostiary.te", "ostiary.fc")


def write(folder: Path) -> str:
    """Write the source into a folder; how it is compiled and loaded."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            write_bytes(
                folder.absolute() / name, resources.files(PACKAGE).joinpath(name).read_bytes()
            )
    except OSError as error:
        raise HostError(f"cannot write into {folder}", why=str(error)) from error
    return (
        f"make -C {folder} -f /usr/share/selinux/devel/Makefile ostiary.pp"
        f" && semodule --install {folder}/ostiary.pp && restorecon -R /etc/ssh/ostiary /var/lib/ostiary"
    )
