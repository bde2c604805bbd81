"""``ostiary audit export``: the rows of a project, judged, into a file or a locked store."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import json_option, not_empty
from ostiary.cli.servers_control import open_control
from ostiary.errors import NotFound, UsageError

if TYPE_CHECKING:
    from ostiary.doors.servers.audit.control_source import ControlSource
    from ostiary.doors.servers.audit.export import Target
    from ostiary.doors.servers.control.export import DatabaseSource


@click.command()
@click.option("--project", required=True, metavar="NAME", callback=not_empty, help="Whose audit.")
@click.option(
    "--to",
    required=True,
    metavar="PLACE",
    help="FILE.jsonl, a folder, or s3://BUCKET/PREFIX with Object Lock.",
)
@click.option(
    "--database",
    default="",
    metavar="URL",
    help="Read there, as whoever runs ostiary serve, in place of asking it.",
)
@click.option(
    "--keep-days", default=365, show_default=True, help="How long S3 lets nobody remove it."
)
@click.option("--profile", metavar="NAME", help="Profile of the AWS config [AWS_PROFILE].")
@click.option("--region", metavar="REGION", help="Of the bucket [AWS_REGION, profile].")
@json_option
def export(
    *,
    project: str,
    to: str,
    database: str,
    keep_days: int,
    profile: str | None,
    region: str | None,
    as_json: bool,
) -> None:
    """Take the rows of a project away, up to the newest checkpoint; goes on where the last run ended.

    What is not whole is not exported. In a folder or bucket each segment of a day has its checkpoint beside it.
    """
    from ostiary.doors.servers.audit.export import export as take_away  # noqa: PLC0415

    target = _target(to, keep_days, profile, region)
    source = _of_database(database, project) if database else _of_control(project)
    found = take_away(source, target, source.authorities, on_segment=term.say)
    if as_json:
        term.result_json(found.as_json())
    elif found.last:
        term.result(f"rows {found.first} to {found.last} of {project} are in {to}")
    elif found.first == 1:
        term.say(f"nothing of {project} is signed by a checkpoint yet: run it again in a minute")
    else:
        term.result(f"{to} has every row of {project} that a checkpoint stands for")


def _of_control(project: str) -> ControlSource:
    from ostiary.doors.servers.audit.control_source import ControlSource  # noqa: PLC0415

    return ControlSource(open_control(), project)


def _of_database(url: str, project: str) -> DatabaseSource:
    from ostiary.doors.servers.control.database import Database  # noqa: PLC0415
    from ostiary.doors.servers.control.export import DatabaseSource  # noqa: PLC0415

    database = Database(url)
    file = database.engine.url.database
    if database.is_sqlite and not (file and Path(file).is_file()):
        what = f"cannot read the audit in {url}"
        raise NotFound(what, why="there is no such file", fix="correct --database")
    click.get_current_context().call_on_close(database.close)
    return DatabaseSource(database, project)


def _check_ours(file: Path) -> None:
    """UsageError for a file that holds something else: rows are not added to it."""
    from ostiary.doors.servers.audit.segment import Segment  # noqa: PLC0415

    if not file.is_file() or not file.stat().st_size:
        return
    try:
        Segment(file)
    except UsageError as other:
        raise UsageError(
            f"cannot export into {file}",
            why="it holds something else than an exported audit",
            fix="name another file, which need not be there yet: --to FILE.jsonl",
        ) from other


def _target(to: str, keep_days: int, profile: str | None, region: str | None) -> Target:
    from ostiary.doors.servers.audit.targets import InFile, InStore  # noqa: PLC0415

    if "://" in to:
        from ostiary.connect_control import locked_store  # noqa: PLC0415 - only who exports there needs AWS

        store, close = locked_store(to, days=keep_days, profile=profile, region=region)
        click.get_current_context().call_on_close(close)
        store.check()
        return InStore(store)
    path = Path(to)
    if path.suffix == ".jsonl":
        if not path.parent.is_dir():
            raise UsageError(
                f"cannot export into {to}",
                why=f"there is no folder {path.parent}",
                fix=f"run: mkdir -p {shlex.quote(str(path.parent))}",
            )
        _check_ours(path)
        return InFile(path)
    if path.suffix and not to.endswith("/") and not path.is_dir():
        raise UsageError(
            f"cannot export into {to}",
            why="rows are written as JSON lines, into a file of the name FILE.jsonl",
            fix=f"name it {path.with_suffix('.jsonl')}, or {to}/ for a folder of segments",
        )
    from ostiary.plan.runs import FolderStore  # noqa: PLC0415

    return InStore(FolderStore(path))
