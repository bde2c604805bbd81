"""``ostiary servers project``: make, show and rotate; what is in a project is the estate's to say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.gateway_reach import reach, reach_options
from ostiary.cli.options import json_option, not_empty
from ostiary.cli.servers_control import moment, open_control
from ostiary.cli.servers_key import NEW, check_signer, kept, kms_option, made_first, signer_option
from ostiary.cli.servers_rotation import rotate
from ostiary.doors.servers.wire.paths import project_path
from ostiary.errors import Conflict, NotFound

if TYPE_CHECKING:
    from ostiary.doors.servers.client.control_api import Control
    from ostiary.doors.servers.wire.admin import Project


@click.group()
def project() -> None:
    """Projects: each the authorization scope of its servers, with authorities of its own."""


@project.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """Every project that you may administer."""
    from ostiary.doors.servers.wire.admin import Projects  # noqa: PLC0415

    found = open_control().call("GET", "/v1/projects", kind=Projects).projects
    if as_json:
        term.result_json({"projects": [asdict(one) for one in found]})
        return
    rows = [
        (
            one.name,
            str(len(one.rules)),
            f"{one.uid_next - one.uid_start} from {one.uid_start}",
            "KMS" if any(key.kms_key for key in one.authorities) else "own",
            one.estate or "-",
        )
        for one in found
    ]
    if rows:
        term.result(term.table(("project", "rules", "UIDs given", "key", "estate"), rows))
    else:
        term.say(
            "no project that you may administer; administrators make one with:"
            " ostiary servers project create NAME"
        )


@project.command()
@click.argument("name", metavar="PROJECT", callback=not_empty)
@json_option
def show(*, name: str, as_json: bool) -> None:
    """One project: who may do what, its authorities, its numbers."""
    from ostiary.doors.servers.wire.admin import Project  # noqa: PLC0415

    found = open_control().call("GET", project_path(name), kind=Project)
    if as_json:
        term.result_json(asdict(found))
    else:
        _show(found)


def _show(one: Project) -> None:
    from ostiary.doors.servers.words import duration  # noqa: PLC0415

    settings = one.settings
    age = f"at most {duration(settings.max_age)} old" if settings.max_age else "of any age"
    lines = [
        f"project {one.name} ({one.id}), {'of estate ' + one.estate if one.estate else 'of no estate'}",
        f"  UIDs from {one.uid_start}, next {one.uid_next}; GIDs from {one.gid_start}, next {one.gid_next}",
        f"  sign-in: {settings.acr_values or 'any strength'}, {age}",
        f"  other ways into its hosts: {settings.other_ways}",
        f"  preauthorization: {settings.preauthorization}",
        f"  owners: {', '.join(settings.owners) or 'none beside the administrators'}",
        f"  instances of {', '.join(settings.accounts) or 'no account'} may enrol by identity",
        "who may do what",
        *(f"  {line}" for line in sorted(_lines(one))),
        *(
            f"  machine {m.name} ({m.kind}), of {m.owner}, until {moment(m.until)}"
            for m in one.machines
        ),
    ]
    rows = [
        (key.use, key.state, moment(key.created), kept(key), key.id)
        for key in sorted(one.authorities, key=lambda key: (key.use, key.created))
    ]
    table = term.table(("authority", "state", "since", "key", "id"), rows)
    term.result("\n".join([*lines, table]))
    for warning in one.warnings:
        term.say(f"! {warning}")


def _lines(one: Project) -> Iterator[str]:
    from ostiary.doors.servers.words import sentences  # noqa: PLC0415

    for rule in one.rules:
        yield from sentences(rule, one.settings.preauthorization)


@project.command()
@click.argument("name", metavar="PROJECT", callback=not_empty)
@click.option("--uid-start", type=int, default=60001, show_default=True, help="First UID.")
@click.option("--gid-start", type=int, default=63001, show_default=True, help="First GID.")
@kms_option("Sign with this KMS key; without ARN a key, its alias and its policy are made first.")
@signer_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@reach_options
@json_option
def create(
    *,
    name: str,
    uid_start: int,
    gid_start: int,
    kms: str,
    signer: str | None,
    yes: bool,
    region: str | None,
    profile: str | None,
    runs: str | None,
    as_json: bool,
) -> None:
    """Make a project with its authorities. Rules come by the estate: adopt it there."""
    from ostiary.doors.servers.wire.admin import NewProject, Project  # noqa: PLC0415

    check_signer(name, signer, kms)
    control = open_control()
    if kms == NEW:
        _check_free(control, name)
        way = reach(estate_file=None, region=region, profile=profile, runs=runs)
        kms = made_first(way, name, signer, yes=yes)
    asked = NewProject(name, uid_start, gid_start, kms)
    made = control.call("POST", "/v1/projects", asked, kind=Project)
    if as_json:
        term.result_json(asdict(made))
        return
    term.result(f"project {made.name} ({made.id})")
    for warning in made.warnings:
        term.say(f"! {warning}")
    term.say(f"let servers in with: ostiary servers token create --project {made.name}")


def _check_free(control: Control, name: str) -> None:
    """Conflict where the project is there: before a key is made that nothing would sign with."""
    from ostiary.doors.servers.wire.admin import Project  # noqa: PLC0415

    with contextlib.suppress(NotFound):
        control.call("GET", project_path(name), kind=Project)
        raise Conflict(
            f"cannot create project {name}",
            why="it exists, and no key was made",
            fix=f"give it a key in KMS by: ostiary servers project rotate {name} --step begin --kms --signer ARN",
            code="exists",
        )


project.add_command(rotate)
