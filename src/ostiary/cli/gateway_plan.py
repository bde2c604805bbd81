"""What ``gateway deploy`` and ``destroy`` share: a plan shown, and the flag that the guard may ask for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ostiary import term

if TYPE_CHECKING:
    from ostiary.plan.plan import Plan

ALLOW = click.option(
    "--allow-deletions", multiple=True, metavar="KIND=N", help="Allow exactly that many deletions."
)


def show(made: Plan, *, as_json: bool, details: bool) -> None:
    if as_json:
        return
    from ostiary.plan.render import render  # noqa: PLC0415

    colour = term.wants_colour(sys.stdout)
    term.result(render(made, colour=colour, details=details, names={}).rstrip("\n"))
