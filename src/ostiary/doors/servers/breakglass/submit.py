"""What break-glass asks of the control plane, when there is one: trust this key, write down these slips."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from ostiary.doors.servers.breakglass.certificate import BREAK_GLASS
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.wire.admin import Project, Rotation, Slip
from ostiary.pki.ssh_key import PublicKey


def project_of(control: Control, project: str) -> Project:
    return control.call("GET", f"/v1/projects/{quote(project, safe='')}", kind=Project)


def trust(control: Control, project: str, authority: PublicKey) -> Project:
    """Hosts of the project trust ``authority`` from their next reading on, beside what they trusted before."""
    asked = Rotation(BREAK_GLASS, "begin", public_key=authority.text())
    path = f"/v1/projects/{quote(project, safe='')}/authorities"
    return control.call("POST", path, asked, Project)


def submit_all(control: Control, project: str, slips: Iterable[Slip]) -> None:
    """Each slip into the audit of the project; one that is there already changes nothing."""
    for slip in slips:
        control.call("POST", f"/v1/projects/{quote(project, safe='')}/slips", slip)
