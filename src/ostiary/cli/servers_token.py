"""``ostiary servers token``: what a host shows once, when it enrols."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from urllib.parse import quote

import click

from ostiary import term
from ostiary.cli.options import FiniteRange, confirm, json_option, not_empty
from ostiary.cli.servers_control import moment, open_control
from ostiary.doors.servers.wire.admin import LONGEST_TOKEN, MOST_USES
from ostiary.doors.servers.wire.paths import project_path
from ostiary.errors import NotFound, UsageError

if TYPE_CHECKING:
    from ostiary.doors.servers.wire.admin import Token

project_option = click.option(
    "--project", required=True, metavar="NAME", callback=not_empty, help="The project."
)


@click.group()
def token() -> None:
    """Enrollment tokens of a project: counted, expiring, revocable; kept only as a hash."""


@token.command()
@project_option
@click.option(
    "--uses",
    type=click.IntRange(1, MOST_USES),
    default=1,
    show_default=True,
    help="Hosts that it lets in.",
)
@click.option(
    "--hours",
    type=FiniteRange(0, LONGEST_TOKEN / 3600, min_open=True),
    default=1.0,
    show_default=True,
    help="How long it is good.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write it to a new file, mode 0600.",
)
@json_option
def create(*, project: str, uses: int, hours: float, out: Path | None, as_json: bool) -> None:
    """Make a token. It is shown this once: on stdout, or in FILE."""
    from ostiary.doors.servers.wire.admin import MadeToken, NewToken  # noqa: PLC0415

    asked = NewToken(uses, hours * 3600)
    control = open_control()
    with _new_file(out) as stream:
        path = f"{project_path(project)}/tokens"
        made = control.call("POST", path, asked, kind=MadeToken)
        if stream:
            stream.write(f"{made.token}\n")
    shown = {"id": made.id, "uses": uses, "hours": hours}
    if as_json:
        term.result_json({**shown, **({"file": str(out)} if out else {"token": made.token})})
        return
    if out is None:
        term.result(made.token)
    good = f"good for {term.counted(uses, 'host')} and {hours:g} h"
    term.say(f"token {made.id}, {good}{f', in {out}' if out else ''}")
    command = f"enroll --url {control.url} --token-file {out.name if out else '-'}"
    term.say(f"on the host, as root: /usr/local/lib/ostiary-agent.pyz {command}{_authority()}")


def _authority() -> str:
    """The option by which a host trusts the control plane too, where this machine had to be told of its authority."""
    from ostiary.doors.servers.client import place  # noqa: PLC0415

    trusted = place.read_profile().ca
    return f" --ca-file {Path(trusted).name}" if trusted else ""


@contextmanager
def _new_file(file: Path | None) -> Iterator[TextIO | None]:
    """A file that was not there, made before the token is; gone again where something fails."""
    if file is None:
        yield None
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        why = (error.strerror or "").lower()
        raise UsageError(
            f"cannot write {file}", why=why, fix="name a new file with: --out FILE"
        ) from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            yield stream
    except BaseException:
        file.unlink(missing_ok=True)
        raise


@token.command("list")
@project_option
@json_option
def list_(*, project: str, as_json: bool) -> None:
    """Tokens of a project, without what they say."""
    from ostiary.doors.servers.wire.admin import Tokens  # noqa: PLC0415

    path = f"{project_path(project)}/tokens"
    found = open_control().call("GET", path, kind=Tokens).tokens
    if as_json:
        term.result_json({"tokens": [asdict(one) for one in found]})
        return
    rows = [
        (
            one.id,
            moment(one.created),
            moment(one.expires),
            str(one.uses_left),
            state(one, time.time()),
        )
        for one in found
    ]
    if rows:
        term.result(term.table(("token", "made", "good until", "uses left", "state"), rows))
    else:
        term.say(f"project {project} has no tokens")


def state(held: Token, now: float) -> str:
    """Why no host can enrol by it any more, or that one can. ``now``: seconds since 1970."""
    if held.revoked:
        return "revoked"
    if not held.uses_left:
        return "used up"
    return "good" if now < held.expires else "expired"


@token.command()
@click.argument("token_id", metavar="TOKEN_ID", callback=not_empty)
@project_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def revoke(*, token_id: str, project: str, yes: bool) -> None:
    """Make a token useless. Hosts that enrolled by it stay."""
    from ostiary.doors.servers.wire.admin import Tokens  # noqa: PLC0415

    control = open_control()
    path = f"{project_path(project)}/tokens"
    listed = control.call("GET", path, kind=Tokens).tokens
    found = next((one for one in listed if one.id == token_id), None)
    if found is None:
        raise NotFound(
            f"no enrollment token of project {project} has the id {token_id}",
            fix=f"see them with: ostiary servers token list --project {project}",
        )
    left = term.counted(found.uses_left, "more host")
    confirm(f"revoke token {token_id} of project {project}, good for {left}", yes=yes)
    control.call("DELETE", f"{path}/{quote(token_id, safe='')}")
    term.say(f"token {token_id} is revoked")
