"""``ostiary servers project rotate``: from one key of a project to another, in three steps."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.gateway_reach import reach, reach_options
from ostiary.cli.options import confirm, json_option
from ostiary.cli.servers_control import moment, open_control
from ostiary.cli.servers_key import (
    NEW,
    check_signer,
    give_alias,
    kept,
    kms_option,
    made_anew,
    signer_option,
)
from ostiary.doors.servers.wire.paths import project_path
from ostiary.errors import Conflict, UsageError

if TYPE_CHECKING:
    from ostiary.doors.servers.wire.admin import Authority, Project

USES = ("user", "host", "x509")
STEPS = ("begin", "sign", "finish")


@click.command()
@click.argument("name", metavar="PROJECT")
@click.option(
    "--use", type=click.Choice(USES), default="user", show_default=True, help="Which authority."
)
@click.option(
    "--step",
    type=click.Choice(STEPS),
    required=True,
    help="begin: hosts trust a second key; sign: it signs; finish: the old one is retired.",
)
@kms_option(
    "With begin of user or x509: the KMS key to go over to. Without ARN, of user: begin makes one first, as create"
    " does, and with sign the project's alias goes over to it."
)
@signer_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@reach_options
@json_option
def rotate(
    *,
    name: str,
    use: str,
    step: str,
    kms: str,
    signer: str | None,
    yes: bool,
    region: str | None,
    profile: str | None,
    runs: str | None,
    as_json: bool,
) -> None:
    """Go over to another key, in three steps.

    Nobody is locked out in between: a step is refused while a host, or a certificate, still needs the one before.
    """
    from ostiary.doors.servers.wire.admin import Project, Rotation  # noqa: PLC0415

    _check_kms(name, use, step, kms)
    if step == "begin":
        check_signer(name, signer, kms)
    control = open_control()
    path = project_path(name)
    now = control.call("GET", path, kind=Project) if kms == NEW else None
    arn = "" if kms == NEW else kms
    way = None
    if now is not None:
        live = _live(now, use)
        _check_turn(name, step, live)
        if step == "sign":
            region = live[-1].kms_key.split(":")[3]  # of its ARN: the alias is where the key is
        origin = "the key" if step == "sign" else ""
        way = reach(estate_file=None, region=region, profile=profile, runs=runs, origin=origin)
        if step == "begin":
            arn = made_anew(way, name, signer, yes=yes)
    confirm(f"{step} the rotation of the {use} authority of project {name}", yes=yes)
    if now is not None and step == "sign" and live[-1].state == "signing":
        done = now  # by a run that did not come as far as the alias
    else:
        asked = Rotation(use, step, arn)
        done = control.call("POST", f"{path}/authorities", asked, kind=Project)
    if way is not None and step == "sign":
        give_alias(way, name, _live(done, use)[-1].kms_key)
    if as_json:
        term.result_json(asdict(done))
    else:
        _show(done, use, step, " --kms" if kms == NEW and step == "begin" else "")


def _show(done: Project, use: str, step: str, also: str) -> None:
    """Every authority of the use, and the command that follows; none follows where one is left."""
    for key in sorted(done.authorities, key=lambda key: key.created):
        if key.use == use:
            term.result(f"{key.state:<9}{moment(key.created)}  {kept(key)}  {key.id}")
    if len(_live(done, use)) > 1:
        following = STEPS[STEPS.index(step) + 1]
        command = f"ostiary servers project rotate {done.name} --use {use} --step {following}{also}"
        term.say(f"then: {command}")


def _live(one: Project, use: str) -> list[Authority]:
    """Those that are trusted or sign, the newest last."""
    live = [key for key in one.authorities if key.use == use and key.state != "retired"]
    return sorted(live, key=lambda key: key.created)


def _check_kms(name: str, use: str, step: str, kms: str) -> None:
    """UsageError where a key is named for what takes none."""
    if not kms:
        return
    if step == "finish" or (step == "sign" and kms != NEW):
        raise UsageError(
            f"cannot take a key at step {step}",
            why="it is named where the rotation begins",
            fix="leave --kms out here, it is for: --step begin",
        )
    if use == "host":
        raise UsageError(
            "cannot take a host authority into KMS",
            why="certificates of hosts are signed while the database is locked, and that must not wait for KMS",
            fix=f"leave --kms out: ostiary servers project rotate {name} --use host --step {step}",
        )
    if kms == NEW and use != "user":
        raise UsageError(
            f"cannot make a key for use {use}",
            why="the key that is made here is of the kind that SSH takes",
            fix="make one of RSA_2048 and name it: --kms ARN",
        )


def _check_turn(name: str, step: str, live: list[Authority]) -> None:
    """Conflict where no key is to be made now, or none is to be named: before anything is written in AWS."""
    if step == "begin" and len(live) > 1:
        raise Conflict(
            f"cannot make another key for project {name}",
            why="a rotation has begun and is not finished",
            fix=f"see where it stands: ostiary servers project show {name}",
            code="rotation",
        )
    if step == "sign" and len(live) < 2:  # noqa: PLR2004 - the one from before, and the one to go over to
        raise Conflict(
            f"cannot give the alias of project {name} to another key",
            why="no rotation has begun",
            fix=f"run: ostiary servers project rotate {name} --step begin --kms --signer ARN",
            code="rotation",
        )
    if step == "sign" and not live[-1].kms_key:
        raise Conflict(
            f"cannot give the alias of project {name} to another key",
            why="the newest authority has no key in KMS",
            fix=f"leave --kms out: ostiary servers project rotate {name} --step sign",
            code="rotation",
        )
