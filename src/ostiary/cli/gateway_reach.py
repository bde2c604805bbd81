"""What the gateway's commands share: options of account, region and run store, and the way in that they lead to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ostiary import term

if TYPE_CHECKING:
    from ostiary.connect_region import Reached

F = TypeVar("F", bound=Callable[..., Any])


def reach_options(function: F) -> F:
    for option in (
        click.option(
            "--runs", metavar="URL", help="Where runs are kept [the estate's, .ostiary/runs]."
        ),
        click.option("--profile", metavar="NAME", help="Profile of the AWS config [AWS_PROFILE]."),
        click.option(
            "--region", metavar="REGION", help="[AWS_REGION, AWS_DEFAULT_REGION, profile]"
        ),
    ):
        function = option(function)
    return function


def reach(
    *,
    estate_file: str | None,
    region: str | None,
    profile: str | None,
    runs: str | None,
    origin: str = "",
) -> Reached:
    """The way into the account; says which region it is and why (``origin`` where no option said it). Closed with the
    command.
    """
    from ostiary.connect_region import reach_region  # noqa: PLC0415 - clients are built only by commands that call
    from ostiary.doors.federation.estate_file import read_estate  # noqa: PLC0415
    from ostiary.settings import load  # noqa: PLC0415

    settings = load(estate_file=estate_file)
    named = estate_file is not None or Path(settings.estate_file).exists()
    estate = read_estate(settings.estate_file) if named else None
    reached = reach_region(profile=profile, region=region, runs=runs, estate=estate)
    click.get_current_context().call_on_close(reached.close)
    term.say(f"region {reached.region} (from {origin or reached.region_origin})")
    return reached
