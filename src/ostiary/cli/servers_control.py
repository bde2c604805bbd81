"""What the commands of servers do alike: reach the control plane, find a server by its name, show moments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ostiary.doors.servers.wire.paths import project_path
from ostiary.errors import Conflict, NotFound

if TYPE_CHECKING:
    from ostiary.doors.servers.client.control_api import Control
    from ostiary.doors.servers.wire.admin import ServerHeld

NOW = 10.0  # seconds within which nobody minds


def open_control() -> Control:
    """The control plane that was signed in to; closed with the command."""
    from ostiary.doors.servers.client.credentials import signed_in  # noqa: PLC0415 - only commands that call

    control = signed_in()
    click.get_current_context().call_on_close(control.close)
    return control


def servers_held(control: Control, project: str | None) -> list[tuple[str, ServerHeld]]:
    """(project, server) of every project that the caller may administer, or of the one that is named."""
    from ostiary.doors.servers.wire.admin import Projects, ServersHeld  # noqa: PLC0415

    names = [project] if project else []
    if not project:
        names = [one.name for one in control.call("GET", "/v1/projects", kind=Projects).projects]
    return [
        (name, one)
        for name in names
        for one in control.call("GET", f"{project_path(name)}/servers", kind=ServersHeld).servers
    ]


def server_named(control: Control, server: str, project: str | None) -> tuple[str, ServerHeld]:
    """The one server of this name or id. Conflict where several projects have one."""
    held = servers_held(control, project)
    meant = [(name, one) for name, one in held if server in (one.id, one.name, _before(one))]
    found = [(name, one) for name, one in meant if one.state != "retired"]
    gone = [one for _, one in meant if one.state == "retired"]
    if gone and not found:
        raise NotFound(
            f"{server} is retired",
            why=f"it was {_before(gone[-1])} ({gone[-1].id})",
            fix="see it with: ostiary servers inventory --retired",
        )
    if not found:
        raise NotFound(
            f"no server is named {server}", fix="see them with: ostiary servers inventory"
        )
    if len(found) > 1:
        raise Conflict(
            f"cannot tell which {server} is meant",
            why=f"there is one in each of {', '.join(name for name, _ in found)}",
            fix=f"add: --project {found[0][0]}",
        )
    return found[0]


def _before(server: ServerHeld) -> str:
    """Its name before it was retired: that is free for another one."""
    return server.name.removesuffix(f"~{server.id}")


def moment(seconds: float) -> str:
    """UTC, to the minute; nothing for a moment that never was, "?" for one that no calendar has."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%MZ}" if seconds else ""
    except (OverflowError, ValueError, OSError):
        return "?"


def ago(seconds: float) -> str:
    """How long a moment is past: ``now``, ``12s``, ``5m``, ``3h``, ``9d``; ``never`` for one that never was."""
    if not seconds:
        return "never"
    past = max(0.0, datetime.now(UTC).timestamp() - seconds)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if past >= 2 * size:
            return f"{past / size:.0f}{unit}"
    return f"{past:.0f}s" if past >= NOW else "now"
