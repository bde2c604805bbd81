"""``ostiary agent``: the agent's own command line, for a host where the whole of ostiary is installed.

The agent may import no click; here its argparse commands are shown as commands of click, so that help, documents and
completion know them. What is typed goes to the agent as it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import click


class Borrowed(click.Command):
    """One command of the agent. ``of`` is its argparse parser, ``said`` its line in the list."""

    def __init__(self, name: str, of: argparse.ArgumentParser, said: str) -> None:
        visible = [one for one in of._actions if one.dest != "help"]  # noqa: SLF001 - argparse has no other way
        super().__init__(name, params=[_param(one) for one in visible], help=said, callback=_run)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_TYPED] = list(args)
        if set(args) & {"-h", "--help"}:
            return super().parse_args(ctx, args)
        return []


class Agent(click.Group):
    """The commands of the agent, imported only when one is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_parsers()[0])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        parsers, said = _parsers()
        return Borrowed(cmd_name, parsers[cmd_name], said[cmd_name]) if cmd_name in said else None


_TYPED = "ostiary.agent.typed"


@click.group(cls=Agent)
def agent() -> None:
    """Keep a host in line with its project."""


@click.pass_context
def _run(context: click.Context, /, **_: Any) -> None:
    from ostiary.doors.servers.agent.__main__ import main  # noqa: PLC0415 - Unix only

    context.exit(main([str(context.info_name), *context.meta[_TYPED]]))


def _parsers() -> tuple[Mapping[str, argparse.ArgumentParser], Mapping[str, str]]:
    """The parser of each command, and what is said of it in a line."""
    from ostiary.doors.servers.agent.commands import parser  # noqa: PLC0415 - Unix only

    commands = next(
        one
        for one in parser()._actions  # noqa: SLF001 - as above
        if isinstance(one, argparse._SubParsersAction)  # noqa: SLF001
    )
    said = {one.dest: one.help or "" for one in commands._choices_actions}  # noqa: SLF001
    return commands.choices, said


def _param(action: argparse.Action) -> click.Parameter:
    """An option or argument as click shows and reads it."""
    if not action.option_strings:
        several = action.nargs in ("*", "+")
        return click.Argument(
            [action.dest], required=action.nargs not in ("*", "?"), nargs=-1 if several else 1
        )
    is_flag = action.nargs == 0
    metavar = action.metavar if isinstance(action.metavar, str) else None
    return click.Option(
        [*action.option_strings, action.dest],
        help=action.help,
        is_flag=is_flag,
        multiple=not is_flag and isinstance(action.default, list),
        metavar=metavar,
        required=action.required,
    )
