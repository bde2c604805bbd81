"""``ostiary ssh``: enter a server by a part of its name; the rest of the line is ssh's."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.servers_list import HEADINGS, rows, servers_of
from ostiary.errors import Conflict, NotFound, OstiaryError, UsageError

if TYPE_CHECKING:
    from ostiary.doors.servers.wire.person import ServerEntry

MOST_SHOWN = 20
NAMED = 5  # in an error


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("host", required=False, default="", metavar="[[USER@]HOST]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENT]...")
def ssh(*, host: str, arguments: tuple[str, ...]) -> None:
    """Enter the server that HOST means: its name, its id, or letters of them; without HOST, any of yours.

    Where several are meant, it asks on a terminal and says which elsewhere. ARGUMENTs behind HOST go to ssh.
    """
    from ostiary.doors.servers.client import pick, place, ssh_config  # noqa: PLC0415

    if host.startswith("-"):
        raise UsageError(
            f"cannot take {host} for a server",
            why="what is for ssh stands behind the server",
            fix="run: ostiary ssh HOST ARGUMENT",
        )
    user, _, name = host.rpartition("@")
    found = pick.matching(servers_of(), name)
    server = found[0] if len(found) == 1 else _picked(found, name)
    settings = ssh_config.settings(user or place.read_profile().login)
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
    if not found and not host:
        raise NotFound(
            "no server is here for you",
            why="none has enrolled yet, or no rule lets you in",
            fix="ask an owner of its project",
            code="no-server",
        )
    if not found:
        raise NotFound(
            f"no server of yours is like {host}",
            why="none has these letters in its name, project or labels",
            fix="run: ostiary servers list",
            code="no-server",
        )
    if not term.can_ask():
        raise Conflict(
            f"cannot tell which server {host} is" if host else "cannot tell which server",
            why=f"it is like {len(found)} of them: {_names(found)}"
            if host
            else f"you may enter {_names(found)}",
            fix=f"run: ostiary servers list {host}".strip(),
            code="ambiguous",
        )
    while len(found) > 1:
        found = _fewer(found)
    return found[0]


def _fewer(found: list[ServerEntry]) -> list[ServerEntry]:
    """Those of ``found`` that an answer means, by its number or by further letters; asked until that are fewer."""
    from ostiary.doors.servers.client import pick  # noqa: PLC0415

    shown = found[:MOST_SHOWN]
    numbered = [(str(number), *row) for number, row in enumerate(rows(shown), start=1)]
    term.say(term.table(("", *HEADINGS), numbered))
    if more := len(found) - len(shown):
        term.say(f"and {more} more")
    while True:
        answer = _answer("which one (its number, or letters)")
        if answer.isdecimal() and 1 <= int(answer) <= len(shown):
            return [shown[int(answer) - 1]]
        fewer = pick.matching(found, answer)
        if 0 < len(fewer) < len(found):
            return fewer
        term.say(f"{'all' if fewer else 'none'} of these {'are' if fewer else 'is'} like {answer}")


def _answer(question: str) -> str:
    try:
        return str(click.prompt(question, err=True)).strip()
    except click.Abort:
        term.say("")  # the terminal is still in the line of the question
        raise


def _names(found: list[ServerEntry]) -> str:
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        names = [f"{one.name} of {one.project}" for one in found]
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
