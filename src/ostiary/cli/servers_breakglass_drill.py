"""``ostiary servers breakglass drill``: does all of it for one server and account, and says how long it took."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import json_option, not_empty
from ostiary.cli.servers_breakglass_sign import share_option
from ostiary.cli.servers_control import open_control, server_named
from ostiary.errors import UsageError

if TYPE_CHECKING:
    from ostiary.doors.servers.breakglass.drill import Step
    from ostiary.doors.servers.breakglass.entering import Place
    from ostiary.doors.servers.client.control_api import Control
    from ostiary.pki.ssh_key import PublicKey


@click.command()
@share_option
@click.option("--login", required=True, metavar="NAME", help="The account on the server.")
@click.option(
    "--server",
    required=True,
    metavar="NAME",
    callback=not_empty,
    help="Name or id; with --offline ID=ADDRESS[:PORT].",
)
@click.option(
    "--through",
    multiple=True,
    metavar="ID=ADDRESS[:PORT]",
    help="With --offline: a bastion on the way; repeatable.",
)
@click.option("--reason", default="drill", show_default=True, metavar="TEXT", help="For the audit.")
@click.option("--offline", is_flag=True, help="Ask the control plane nothing; submit later.")
@click.option(
    "--host-authority",
    metavar="KEYFILE",
    type=click.Path(path_type=Path),
    help="Who signs host certificates [the project's, as the control plane says].",
)
@click.option(
    "--slips", metavar="FILE", type=click.Path(path_type=Path), help="Where slips are kept."
)
@json_option
def drill(
    *,
    share_files: tuple[Path, ...],
    login: str,
    server: str,
    through: tuple[str, ...],
    reason: str,
    offline: bool,
    host_authority: Path | None,
    slips: Path | None,
    as_json: bool,
) -> None:
    """Enter a server by break-glass, and prove that the audit tells of it. Changes nothing there.

    The control plane is asked where the server is before, and told afterwards; with --offline not at all.
    """
    from ostiary.doors.servers.audit.checkpoint import read_keys  # noqa: PLC0415
    from ostiary.doors.servers.breakglass import drill as drilling  # noqa: PLC0415
    from ostiary.doors.servers.breakglass.sign import read_shares  # noqa: PLC0415
    from ostiary.doors.servers.breakglass.slips import default_file  # noqa: PLC0415

    shares = read_shares(share_files)
    project = shares[0].project
    control = None if offline else open_control()
    way = _told(server, through) if control is None else _found(control, project, server)
    if host_authority is not None:
        hosts = read_keys(host_authority)
    elif control is not None:
        hosts = _hosts(control, project)
    else:
        raise UsageError(
            "cannot tell the server from another",
            why="nobody says who signs host certificates",
            fix="add --host-authority KEYFILE",
        )
    exercise = drilling.Exercise(login, way, hosts, reason, slips or default_file(project))
    steps: list[Step] = []

    def on_step(step: Step) -> None:
        steps.append(step)
        term.say(f"{step.what}: {step.seconds:.2f} s")

    signed = drilling.enter_offline(shares, exercise, on_step)
    if control is not None:
        drilling.tell(control, project, signed, exercise, on_step)
    seconds = sum(one.seconds for one in steps)
    serials = [str(one.certificate.serial) for one in signed]
    if as_json:
        told = {"project": project, "server": way[-1].server_id, "login": login, "serials": serials}
        term.result_json({**told, "steps": [one.as_json() for one in steps]})
        return
    term.result(f"break-glass entered {way[-1].server_id} as {login}: {seconds:.2f} s in all")
    if control is None:
        term.say(f"when all is up again: ostiary servers breakglass submit --project {project}")


def _told(server: str, through: tuple[str, ...]) -> list[Place]:
    from ostiary.doors.servers.breakglass.entering import Place  # noqa: PLC0415

    places = []
    for text in (*through, server):
        server_id, _, where = text.partition("=")
        address, _, port = where.rpartition(":") if where.count(":") == 1 else (where, "", "22")
        if not address or not port.isascii() or not port.isdigit():
            raise UsageError(
                f"cannot tell where {text} is",
                fix="write it as srv_…=ADDRESS or srv_…=ADDRESS:PORT",
            )
        places.append(Place(server_id, address, int(port)))
    return places


def _found(control: Control, project: str, server: str) -> list[Place]:
    """The server and the bastions in front of it, outermost first."""
    from ostiary.doors.servers.breakglass.entering import Place  # noqa: PLC0415

    places: list[Place] = []
    name = server
    while name and len(places) < 10:  # noqa: PLR2004 - bastions that lead to each other
        _, held = server_named(control, name, project)
        places.insert(0, Place(held.id, held.address, held.port))
        name = held.bastion
    return places


def _hosts(control: Control, project: str) -> tuple[PublicKey, ...]:
    from ostiary.doors.servers.breakglass.submit import project_of  # noqa: PLC0415
    from ostiary.pki import ssh_key  # noqa: PLC0415

    known = project_of(control, project).authorities
    trusted = (one for one in known if one.use == "host" and one.state != "retired")
    return tuple(ssh_key.parse(one.public_key) for one in trusted)
