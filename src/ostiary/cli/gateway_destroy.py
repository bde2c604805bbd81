"""``ostiary gateway destroy``: everything of one gateway, and nothing else."""

from __future__ import annotations

import threading

import click

from ostiary import term
from ostiary.cli.gateway_plan import ALLOW, show
from ostiary.cli.gateway_reach import reach, reach_options
from ostiary.cli.options import estate_option, json_option
from ostiary.cli.progress import progress, stopping
from ostiary.errors import UsageError


@click.command()
@click.argument("name")
@click.option("--with-image", is_flag=True, help="Deregister its AMI and delete the snapshots too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@ALLOW
@reach_options
@estate_option
@json_option
def destroy(
    *,
    name: str,
    with_image: bool,
    yes: bool,
    allow_deletions: tuple[str, ...],
    region: str | None,
    profile: str | None,
    runs: str | None,
    estate_file: str | None,
    as_json: bool,
) -> None:
    """Remove everything that bears the mark of gateway NAME, and nothing else.

    The number of deletions is shown first; the flags that the guard asks for must then be typed.
    """
    from ostiary.doors.gateway.deploy import removal  # noqa: PLC0415 - clients are built only by commands that call
    from ostiary.plan.guard import Overrides  # noqa: PLC0415

    overrides = Overrides.parse(allow_deletions, ())
    reached = reach(estate_file=estate_file, region=region, profile=profile, runs=runs)
    image = removal.removable_image(reached, name) if with_image else None
    with progress("reading") as on_event:
        made = removal.plan_removal(reached, name, on_event)
    show(made, as_json=as_json, details=False)
    if not (made.writes or image):
        term.say(f"nothing bears the mark of gateway {name} in {reached.region}")
    else:
        _ask_for_name(name, yes=yes)
    if made.writes:
        stop = threading.Event()
        with stopping(stop, reached.stopping), progress("removing") as on_event:
            removal.remove(reached, name, made, overrides=overrides, on_event=on_event, stop=stop)
    removal.finish(reached, name, image)
    if image:
        term.say(f"removed {image.id} and its snapshots")
    if as_json:
        ami = image.id if image else None
        term.result_json({"name": name, "removed": len(made.writes), "ami": ami})


def _ask_for_name(name: str, *, yes: bool) -> None:
    if yes:
        return
    asked = "type the name of the gateway to remove all of it:"
    if not term.can_ask() or not term.ask(asked, name):
        raise UsageError("nothing was written", why="the name was not typed", fix="add --yes")
