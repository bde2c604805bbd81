"""``ostiary servers preauthorization``: whose rules count for some hours, where a project requires it."""

from __future__ import annotations

from dataclasses import asdict
from urllib.parse import quote

import click

from ostiary import term
from ostiary.cli.options import FiniteRange, confirm, json_option, not_empty
from ostiary.cli.servers_control import moment, open_control
from ostiary.cli.servers_token import project_option
from ostiary.doors.servers.wire.admin import LONGEST_PREAUTHORIZATION
from ostiary.doors.servers.wire.paths import project_path
from ostiary.errors import NotFound

HEADINGS = ("preauthorization", "person", "server", "made", "by", "good until", "state", "reason")


@click.group()
def preauthorization() -> None:
    """Let the rules of a person count for some hours.

    In a project with preauthorization: required nobody gets in by rules alone. One gives no right of its own.
    """


@preauthorization.command()
@click.argument("login", metavar="LOGIN", callback=not_empty)
@project_option
@click.option(
    "--server",
    default="",
    metavar="NAME",
    callback=not_empty,
    help="Only this server of the project.",
)
@click.option(
    "--hours",
    type=FiniteRange(0, LONGEST_PREAUTHORIZATION / 3600, min_open=True),
    default=2.0,
    show_default=True,
    help="How long it is good.",
)
@click.option("--reason", required=True, metavar="TEXT", help="Why: one line, for the audit.")
@json_option
def create(
    *, login: str, project: str, server: str, hours: float, reason: str, as_json: bool
) -> None:
    """Let the rules of LOGIN count, from now on and for some hours."""
    from ostiary.doors.servers.wire.admin import (  # noqa: PLC0415
        NewPreauthorization,
        Preauthorization,
    )

    asked = NewPreauthorization(login, hours * 3600, reason, server)
    path = f"{project_path(project)}/preauthorizations"
    made: Preauthorization = open_control().call("POST", path, asked, kind=Preauthorization)
    if as_json:
        term.result_json(asdict(made))
    else:
        term.result(made.id)
    where = f"on {made.server}" if made.server else "on every server"
    term.say(f"the rules of {made.person} count {where} of {project} until {moment(made.until)}")
    for warning in made.warnings:
        term.say(f"! {warning}")


@preauthorization.command("list")
@project_option
@click.option("--good", is_flag=True, help="Only those that are good now.")
@json_option
def list_(*, project: str, good: bool, as_json: bool) -> None:
    """Preauthorizations of a project.

    Those that are over stay for a month.
    """
    from ostiary.doors.servers import preauthorized  # noqa: PLC0415

    found = preauthorized.listed(open_control(), project, good=good)
    if as_json:
        term.result_json({"preauthorizations": [asdict(one) for one in found]})
        return
    rows = [
        (
            one.id,
            one.person,
            one.server or one.server_id or "every",
            moment(one.created),
            one.by,
            moment(one.until),
            one.state,
            one.reason,
        )
        for one in found
    ]
    if rows:
        term.result(term.table(HEADINGS, rows))
    else:
        term.say(f"project {project} has no preauthorizations{' that are good now' * good}")


@preauthorization.command()
@click.argument("known", metavar="ID", callback=not_empty)
@project_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def revoke(*, known: str, project: str, yes: bool, as_json: bool) -> None:
    """End a preauthorization now.

    No certificate is issued by it any more, and open sessions are cut, where no other one is good for them: those of the
    same person are named.
    """
    from ostiary.doors.servers import preauthorized  # noqa: PLC0415
    from ostiary.model.preauthorization import same_login  # noqa: PLC0415

    control = open_control()
    path = f"{project_path(project)}/preauthorizations"
    listed = preauthorized.listed(control, project)
    found = next((one for one in listed if one.id == known), None)
    if found is None:
        raise NotFound(
            f"no preauthorization of project {project} has the id {known}",
            fix=f"see them with: ostiary servers preauthorization list --project {project}",
        )
    who = same_login(found.person)
    end = f"{found.state}, until {moment(found.until)}"
    confirm(f"revoke preauthorization {known} of {found.person} ({end})", yes=yes)
    control.call("DELETE", f"{path}/{quote(known, safe='')}")
    if as_json:
        term.result_json({"id": known, "person": found.person, "was": found.state})
    term.say(f"preauthorization {known} is revoked")
    for one in listed:
        if one.id != known and one.state == "good" and same_login(one.person) == who:
            where = f"on {one.server or one.server_id}" if one.server_id else "on every server"
            term.say(
                f"! {one.id} lets the rules of {one.person} count {where} still, until {moment(one.until)}"
            )
