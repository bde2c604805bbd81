"""``ostiary init``: a first estate file."""

from __future__ import annotations

from pathlib import Path

import click

from ostiary import term
from ostiary.errors import EstateError, UsageError


@click.command()
@click.option("--okta-url", required=True, metavar="URL", help="The Okta org.")
@click.option(
    "--name", default="my-estate", show_default=True, help="The estate's name; part of every mark."
)
@click.option("--profile", help="AWS profile of the management account.")
@click.option(
    "--control",
    metavar="URL",
    help="Of servers alone, kept by the control plane at URL; nothing of AWS is read.",
)
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("estate.yaml"), show_default=True
)
def init(
    *, okta_url: str, name: str, profile: str | None, control: str | None, output: Path
) -> None:
    """Write an estate file from the accounts and groups that exist. Only reads."""
    from ostiary.doors.federation.first_estate import draft, draft_of_servers  # noqa: PLC0415
    from ostiary.settings import load  # noqa: PLC0415

    if output.exists():
        raise UsageError(f"will not overwrite {output}", fix="give another --output")
    if control and profile:
        why = "--control writes an estate of servers alone, and --profile is of AWS"
        raise UsageError("cannot tell which estate to write", why=why, fix="leave one of them out")
    if control:
        text = draft_of_servers(load(), name=name, okta_url=okta_url, control=control)
    else:
        text = draft(load(), name=name, okta_url=okta_url, profile=profile)
    try:
        output.write_text(text)
    except OSError as error:
        raise EstateError(
            f"cannot write {output}",
            why=str(error.strerror).lower(),
            fix="name a place that you may write to with --output",
        ) from error
    term.say(f"wrote {output}; look at it, then run: ostiary plan --estate {output}")
