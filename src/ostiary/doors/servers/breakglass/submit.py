"""What break-glass asks of the control plane, when there is one: trust this key, write down these slips."""

from __future__ import annotations

from collections.abc import Iterable

from ostiary.doors.servers.breakglass.certificate import BREAK_GLASS
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.wire.admin import Project, Rotation, Slip
from ostiary.doors.servers.wire.paths import project_path
from ostiary.errors import Conflict, Partial, UsageError
from ostiary.pki.ssh_key import PublicKey


def project_of(control: Control, project: str) -> Project:
    return control.call("GET", project_path(project), kind=Project)


def trust(control: Control, project: str, authority: PublicKey) -> Project:
    """Hosts of the project trust ``authority`` from their next reading on, beside what they trusted before."""
    return _rotate(control, project, Rotation(BREAK_GLASS, "begin", public_key=authority.text()))


def retire(control: Control, project: str) -> Project:
    """The older of two authorities is trusted no more. Conflict while a server does not trust the newer one yet."""
    return _rotate(control, project, Rotation(BREAK_GLASS, "finish"))


def _rotate(control: Control, project: str, asked: Rotation) -> Project:
    path = f"{project_path(project)}/authorities"
    return control.call("POST", path, asked, Project)


def bring(control: Control, project: str, slip: Slip) -> None:
    """A slip into the audit of the project; one that is there already changes nothing. UsageError for what is not true."""
    control.call("POST", f"{project_path(project)}/slips", slip)


def submit_all(control: Control, project: str, slips: Iterable[Slip]) -> int:
    """Every slip that is taken; how many. Partial tells of each that is refused, after all the others were brought."""
    taken, refused = 0, []
    for number, slip in enumerate(slips, 1):
        try:
            bring(control, project, slip)
            taken += 1
        except (UsageError, Conflict) as error:
            refused.append(f"slip {number} ({slip.reason[:60]!r}): {error.why}")
    if refused:
        raise Partial(
            f"{len(refused)} of {taken + len(refused)} slips are not in the audit of {project}",
            why="\n".join(refused),
            fix="submit those of another project there; keep the file, and find out about the rest",
            code="bad-slip",
        )
    return taken
