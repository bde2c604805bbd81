"""``ostiary ssh``: enter a server by a part of its name; the rest of the line is ssh's."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.servers_list import rows, servers_of
from ostiary.errors import Conflict, NotFound, OstiaryError

if TYPE_CHECKING:
    from ostiary.doors.servers.wire.person import ServerEntry

MOST_SHOWN = 20


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("host", metavar="HOST")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENT]...")
def ssh(*, host: str, arguments: tuple[str, ...]) -> None:
    """Enter the server that HOST means: its name, its id, or letters of them.

    Where several are meant, it asks on a terminal and says which elsewhere. ARGUMENTs go to ssh.
    """
    from ostiary.doors.servers.client import pick, place, ssh_config  # noqa: PLC0415

    found = pick.matching(servers_of(), host)
    server = found[0] if len(found) == 1 else _picked(found, host)
    settings = ssh_config.settings(place.read_profile().login)
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    command = ["ssh", *options, server.server_id, *arguments]
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell, on purpose
    except OSError as error:
        raise OstiaryError(
            "cannot run ssh", why=str(error.strerror).lower(), fix="install the OpenSSH client"
        ) from error


def _picked(found: list[ServerEntry], host: str) -> ServerEntry:
    """The one that a person at a terminal chooses."""
    if not found:
        raise NotFound(
            f"no server of yours is like {host}",
            why="none has these letters in its name, project or labels",
            fix="run: ostiary servers list",
            code="no-server",
        )
    if not term.can_ask() or len(found) > MOST_SHOWN:
        names = ", ".join(one.name for one in found[:5])
        raise Conflict(
            f"cannot tell which server {host} is",
            why=f"it is like {len(found)} of them: {names}{', …' if len(found) > 5 else ''}",  # noqa: PLR2004 - as above
            fix=f"run: ostiary servers list {host}",
            code="ambiguous",
        )
    for number, row in enumerate(rows(found), start=1):
        term.say(f"{number:>3}  {'  '.join(row)}")
    answer = click.prompt("which", type=click.IntRange(1, len(found)), err=True)
    return found[answer - 1]
