"""Whether a session is strong and young enough for a project: ``acr_values`` and ``max_age`` of its settings.

Source: OpenID Connect Core 1.0, 3.1.2.1; Okta, "Step-up authentication using ACR values".
"""

from __future__ import annotations

from ostiary.doors.servers.control.projects import Project
from ostiary.doors.servers.control.sessions import Caller
from ostiary.errors import Denied


class StepUp(Denied):
    """Sign in again, with these values."""

    def __init__(self, project: Project, why: str) -> None:
        super().__init__(
            f"cannot enter project {project.name} with this sign-in",
            why=why,
            fix="run: ostiary login --step-up",
            code="step-up",
        )
        self.acr_values = project.settings.acr_values
        self.max_age = project.settings.max_age


def check_sign_in(caller: Caller, project: Project, now: float) -> None:
    """StepUp when the project asks for more than the session has. Machines prove themselves anew each time."""
    if caller.is_machine:
        return
    settings = project.settings
    wanted = settings.acr_values.split()
    if wanted and caller.strength not in wanted:
        had = caller.strength or "none said"
        raise StepUp(project, f"it asks for {' or '.join(wanted)}; the sign-in had {had}")
    age = now - caller.signed_in
    if settings.max_age and age > settings.max_age:
        old = f"the sign-in is {age:.0f} s old" if caller.signed_in else "nobody says how old it is"
        why = f"{old}; at most {settings.max_age} s are allowed"
        raise StepUp(project, why)
