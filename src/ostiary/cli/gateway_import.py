"""``ostiary gateway import`` and ``cancel``: an appliance file into an AMI, and the way back."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.gateway_reach import reach, reach_options
from ostiary.cli.options import confirm, estate_option, json_option

if TYPE_CHECKING:
    from ostiary.connect_region import Reached
    from ostiary.doors.gateway.importing.settings import Imported, ImportSettings


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--route",
    default="auto",
    metavar="ROUTE",
    help="auto, import-image, import-snapshot or ebs-direct [auto].",
)
@click.option("--name", default="", help="Name of the AMI [the file's, with its digest].")
@click.option("--bucket", default="", help="For uploads [one is made for account and region].")
@click.option("--kms-key", default="", metavar="ARN", help="Encrypt the result with this key.")
@click.option(
    "--parent", default="", metavar="AMI", help="Send only what differs from this AMI or snapshot."
)
@click.option("--expect-digest", default="", metavar="SHA256", help="What Okta's page says.")
@click.option("--accept-unsigned", is_flag=True, help="Import a file without manifest.")
@click.option("--force", is_flag=True, help="Ask VM Import although it would refuse; never unsafe.")
@click.option("--keep-upload", is_flag=True, help="Leave the uploaded file in the bucket.")
@click.option("--connections", default=16, type=click.IntRange(1, 64), help="Side by side [16].")
@reach_options
@estate_option
@json_option
def import_(
    *,
    file: Path,
    route: str,
    name: str,
    bucket: str,
    kms_key: str,
    parent: str,
    expect_digest: str,
    accept_unsigned: bool,
    force: bool,
    keep_upload: bool,
    connections: int,
    region: str | None,
    profile: str | None,
    runs: str | None,
    estate_file: str | None,
    as_json: bool,
) -> None:
    """Make an AMI of an appliance FILE; the same file twice gives the same AMI.

    A run that was stopped or killed goes on where it was when it is run again.
    """
    from ostiary.doors.gateway.importing.settings import ImportSettings  # noqa: PLC0415

    settings = ImportSettings(
        route=route,
        bucket=bucket,
        name=name,
        kms_key=kms_key,
        parent=parent,
        expect_digest=expect_digest,
        accept_unsigned=accept_unsigned,
        force=force,
        keep_upload=keep_upload,
        connections=connections,
    )
    reached = reach(estate_file=estate_file, region=region, profile=profile, runs=runs)
    imported = run_import(reached, file, settings)
    if as_json:
        term.result_json(imported.as_json())
    else:
        term.result(sentence(imported))


def run_import(reached: Reached, file: Path, settings: ImportSettings) -> Imported:
    """Import with a bar and with Ctrl-C; says which route and why."""
    from ostiary.cli.gateway_progress import import_progress  # noqa: PLC0415
    from ostiary.cli.progress import stopping  # noqa: PLC0415
    from ostiary.doors.gateway.importing.work import import_appliance  # noqa: PLC0415

    stop = threading.Event()
    with stopping(stop, reached.stopping), import_progress() as on_step:
        return import_appliance(reached, file, settings, on_step=on_step, stop=stop)


def sentence(imported: Imported) -> str:
    """What a person reads at the end."""
    if imported.reused:
        return (
            f"{imported.image_id}  {imported.name}\nnothing was sent: {imported.reason}"
            f" (route {imported.route})"
        )
    facts = imported.facts
    sent = f"{facts.get('bytes', 0) / 1e6:.1f} MB sent"
    if again := facts.get("blocks_again", 0) or facts.get("bytes_again", 0):
        sent += f", {again} {'blocks' if 'blocks_again' in facts else 'bytes'} were there already"
    if same := facts.get("blocks_same", 0):
        sent += f", {same} blocks are the parent's"
    lines = [
        f"{imported.image_id}  {imported.name}",
        f"by {imported.route}: {imported.reason}; {sent}",
        f"snapshots {', '.join(imported.snapshots)}; SHA-256 {imported.digest}",
    ]
    return "\n".join(lines)


@click.command()
@click.argument("named", metavar="TASK-OR-FILE")
@click.option("--yes", is_flag=True, help="Do not ask.")
@reach_options
@estate_option
def cancel(
    *,
    named: str,
    yes: bool,
    region: str | None,
    profile: str | None,
    runs: str | None,
    estate_file: str | None,
) -> None:
    """Stop an import, named by its task or its file, and remove what it left."""
    from ostiary.doors.gateway.importing.cancel import cancel as undo  # noqa: PLC0415

    reached = reach(estate_file=estate_file, region=region, profile=profile, runs=runs)
    confirm(f"cancel the import {named} in {reached.region}", yes=yes)
    for line in undo(reached, Path(named).name):
        term.result(f"removed {line}")
