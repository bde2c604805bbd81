"""``ostiary servers breakglass make`` and ``register``: a new authority in shares, trusted by the project's hosts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import confirm, json_option, not_empty
from ostiary.cli.servers_control import open_control
from ostiary.errors import NotFound, OstiaryError, UsageError

if TYPE_CHECKING:
    from ostiary.doors.servers.breakglass.shares import Share
    from ostiary.pki.ssh_key import PublicKey


@click.command()
@click.option(
    "--project", required=True, metavar="NAME", callback=not_empty, help="For whose servers."
)
@click.option(
    "--shares", default=5, show_default=True, metavar="N", help="How many people keep one."
)
@click.option(
    "--threshold", default=3, show_default=True, metavar="M", help="How many sign together."
)
@click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Write each share to a file of its own there [show them one at a time].",
)
@click.option("--no-register", is_flag=True, help="Do not tell the control plane yet.")
@json_option
def make(
    *, project: str, shares: int, threshold: int, out: Path | None, no_register: bool, as_json: bool
) -> None:
    """Make a break-glass authority on this machine; its private half exists only as shares.

    Its public half is registered with the project, so that hosts trust it.
    """
    from ostiary.doors.servers.breakglass import shares as splitting  # noqa: PLC0415

    if out is None and not (term.can_ask() and sys.stdout.isatty()):
        raise UsageError(
            "cannot show shares here", why="this is not a terminal", fix="add --out FOLDER"
        )
    if not no_register:
        _see_project(project)
    made = splitting.make(project, threshold, shares)
    authority = made[0].authority
    files = _write(out, made) if out is not None else _show(made)
    if not no_register:
        try:
            _register(project, authority.text())
        except OstiaryError as failed:
            fix = f"run: {_to_register(project, authority)}"
            raise type(failed)(
                f"the shares are made, but hosts do not trust {authority.fingerprint} yet",
                why=str(failed),
                fix=fix,
                code=failed.code,
            ) from failed
    if as_json:
        told = {"project": project, "authority": authority.text(), "threshold": threshold}
        term.result_json({**told, "shares": [str(file) for file in files]})
        return
    term.result(f"{authority.text()}\n{threshold} of {shares} shares sign for project {project}")
    for file in files:
        term.result(f"share {file}")
    if files:
        term.say("give each to somebody else, and delete them here")
    if no_register:
        term.say(f"hosts trust it after: {_to_register(project, authority)}")


@click.command()
@click.argument("key", metavar="PUBLIC-KEY")
@click.option(
    "--project", required=True, metavar="NAME", callback=not_empty, help="For whose servers."
)
def register(*, key: str, project: str) -> None:
    """Let the hosts of a project trust a break-glass authority, by its public key."""
    from ostiary.pki import ssh_key  # noqa: PLC0415

    try:
        ssh_key.parse(key)
    except OstiaryError as wrong:
        raise UsageError(
            f"cannot register {key[:80]} for project {project}",
            why=f"it is no public key: {wrong.why or wrong.what}",
            fix="give the whole line, in quotes, that follows authority: in each share",
        ) from wrong
    _register(project, key)
    term.result(f"hosts of {project} trust it from their next reading on")


@click.command()
@click.option(
    "--project", required=True, metavar="NAME", callback=not_empty, help="For whose servers."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def retire(*, project: str, yes: bool) -> None:
    """Let hosts trust the older of two break-glass authorities no more."""
    from ostiary.doors.servers.breakglass import submit  # noqa: PLC0415

    confirm(f"retire the older break-glass authority of {project}", yes=yes)
    kept = submit.retire(open_control(), project).authorities
    trusted = [one for one in kept if one.use == "break-glass" and one.state != "retired"]
    for one in trusted:
        term.result(f"{one.public_key}\nhosts of {project} trust this one")


def _to_register(project: str, authority: PublicKey) -> str:
    return f"ostiary servers breakglass register --project {project} '{authority.text()}'"


def _see_project(project: str) -> None:
    """NotFound before people keep shares of a project that there is not. Whatever else fails is said after they are made."""
    from ostiary.doors.servers.breakglass.submit import project_of  # noqa: PLC0415

    try:
        project_of(open_control(), project)
    except NotFound:
        raise
    except OstiaryError:
        return


def _register(project: str, text: str) -> None:
    from ostiary.doors.servers.breakglass.submit import trust  # noqa: PLC0415
    from ostiary.pki import ssh_key  # noqa: PLC0415

    trust(open_control(), project, ssh_key.parse(text))


def _write(folder: Path, shares: tuple[Share, ...]) -> list[Path]:
    """All of them, or none: what was written before a failure is removed."""
    from ostiary.doors.servers.breakglass.hand_over import write_new  # noqa: PLC0415

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OstiaryError(
            f"cannot make {folder}",
            why=str(error.strerror).lower(),
            fix="name another folder with --out, or none to see the shares on the terminal",
        ) from error
    written: list[Path] = []
    try:
        for one in shares:
            file = folder / f"{one.project}-share-{one.number}-of-{one.of}.txt"
            write_new(file, one.text().encode())
            written.append(file)
    except OstiaryError:
        for file in written:
            file.unlink()
        raise
    return written


def _show(shares: tuple[Share, ...]) -> list[Path]:
    """One at a time; the screen is cleared after each, and where somebody breaks off."""
    try:
        for one in shares:
            term.clear()
            term.result(one.text())
            term.say(f"share {one.number} of {one.of}: press a key when it is written down")
            click.getchar()
    finally:
        term.clear()
    return []
