"""``ostiary agent``: the agent's own command line, for a host where the whole of ostiary is installed."""

from __future__ import annotations

import click


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": [],
    }
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def agent(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Keep a host in line with its project: enroll, run, status, remove."""
    from ostiary.doors.servers.agent.__main__ import main  # noqa: PLC0415 - Unix only

    context.exit(main(list(arguments)))
