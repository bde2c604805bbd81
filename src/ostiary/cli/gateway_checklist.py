"""``ostiary gateway checklist``: what a person does after the deployment, with the values filled in."""

from __future__ import annotations

import click

from ostiary import term
from ostiary.cli.gateway_reach import reach, reach_options
from ostiary.cli.options import estate_option, json_option


@click.command()
@click.argument("name")
@reach_options
@estate_option
@json_option
def checklist(
    *,
    name: str,
    region: str | None,
    profile: str | None,
    runs: str | None,
    estate_file: str | None,
    as_json: bool,
) -> None:
    """Say what is left to do by hand for gateway NAME, from the first login to the backup."""
    from ostiary.doors.gateway.deploy.checklist import checklist as steps  # noqa: PLC0415 - clients are built only by commands that call
    from ostiary.doors.gateway.deploy.work import look  # noqa: PLC0415

    deployed = look(reach(estate_file=estate_file, region=region, profile=profile, runs=runs), name)
    items = steps(deployed)
    if as_json:
        shown = [one.as_json() for one in items]
        term.result_json({**deployed.as_json(), "steps": shown})
        return
    for number, one in enumerate(items, 1):
        term.result(term.paint(f"{number}. {one.title}", "bold"))
        term.result(f"   {one.why}")
        for command in one.commands:
            term.result(f"     {command}")
        term.result(term.paint(f"   done when {one.done_when}\n", "dim"))
