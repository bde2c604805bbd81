"""Who may administer what: members of the admin group and its machines everything, owners of a project that project.

What somebody may not see is answered as if it did not exist. As for certificates, what the org says of who administers
must be of now: whoever was put out could trust a key of their own for good in the hours that a session lasts.
"""

from __future__ import annotations

from ostiary.doors.servers.control import inventory, machines_kept, projects
from ostiary.doors.servers.control.database import translated
from ostiary.doors.servers.control.freshness import STALE, known_until
from ostiary.doors.servers.control.inventory import Server
from ostiary.doors.servers.control.projects import Project
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.control.sessions import Caller
from ostiary.errors import Denied, NotFound


def is_admin(services: Services, caller: Caller) -> bool:
    """Denied for one of whom the org said nothing for too long."""
    if caller.is_machine:
        found = caller.machine in services.admin_machines and _is_kept(services, caller)
    else:
        found = bool(services.admin_group) and services.admin_group in caller.person.groups
    return found and _is_fresh(services, caller)


def is_owner(services: Services, caller: Caller, project: Project) -> bool:
    """Of a project: administrators of everything are too. Denied as for them."""
    if is_admin(services, caller):
        return True
    owned = set(project.settings.owners).intersection(caller.person.groups)
    return bool(owned) and not caller.is_machine and _is_fresh(services, caller)


def _is_kept(services: Services, caller: Caller) -> bool:
    """Whether the machine is still set: the name alone may be of one that is gone."""
    with translated("cannot look up the machine"), services.database.reading() as connection:
        return machines_kept.still(connection, caller.machine, services.clock()) is not None


def _is_fresh(services: Services, caller: Caller) -> bool:
    age = services.clock() - known_until(services.freshness, caller.person)
    if age > STALE:
        raise Denied(
            "cannot do this",
            why=f"what Okta says of {caller.person.login} was last read {age:.0f} s ago",
            fix="run: ostiary login",
            code="stale",
        )
    return True


def admin(services: Services, caller: Caller) -> None:
    """Denied for everybody else."""
    if not is_admin(services, caller):
        raise Denied(
            "cannot do this",
            why=f"{caller.person.login} is not in the Okta group {services.admin_group}",
            fix="ask an administrator of the control plane",
            code="not-permitted",
        )


def project(services: Services, caller: Caller, name: str) -> Project:
    """The project of this name, for its owners. NotFound for everybody else, said alike where there is none."""
    absent = NotFound(
        f"no project that you administer is named {name[:80]!r}",
        fix="see them with: ostiary servers project list",
        code="no-project",
    )
    with translated("cannot read the project"), services.database.reading() as connection:
        try:
            found = projects.by_name(connection, name)
        except NotFound:
            raise absent from None
    if not is_owner(services, caller, found):
        raise absent
    return found


def server(services: Services, caller: Caller, server_id: str) -> Server:
    """The server of this id, for the owners of its project. NotFound for everybody else."""
    absent = NotFound(f"no server has the id {server_id[:40]!r}", code="no-server")
    with translated("cannot read the server"), services.database.reading() as connection:
        found = inventory.known(connection, server_id)
        if found is None:
            raise absent
        if not is_owner(services, caller, projects.by_id(connection, found.project_id)):
            raise absent
    return found
