"""``ostiary access``: who can reach what, and why."""

from __future__ import annotations

import click

from ostiary import term
from ostiary.cli.options import estate_option, json_option
from ostiary.cli.work import open_work


@click.group()
def access() -> None:
    """Answer who can reach what."""


@access.command()
@click.argument("login", metavar="USER")
@estate_option
@json_option
def what(*, login: str, estate_file: str | None, as_json: bool) -> None:
    """Everything that USER can enter now, worked out from what Okta and AWS hold."""
    work = open_work(estate_file, "plan")
    reached = work.reach_of(login)
    if as_json:
        term.result_json(reached.as_json())
        return
    rows = [
        (
            item.account,
            item.name,
            item.role,
            item.because,
            "" if item.wanted else "NOT in the estate",
        )
        for item in reached.items
    ]
    if rows:
        term.result(term.table(("account", "name", "role", "because", ""), rows))
    else:
        inactive = "" if reached.status == "ACTIVE" else f": the user is {reached.status}"
        term.say(f"{login} can enter nothing{inactive}")
    if reached.missing:
        term.say("not open now, though the estate says so; run: ostiary plan")
        for arn in reached.missing:
            term.say(f"  {arn}")
