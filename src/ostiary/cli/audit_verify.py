"""``ostiary audit verify``: judge exported files without asking anybody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import json_option
from ostiary.errors import ProofFailed

if TYPE_CHECKING:
    from ostiary.doors.servers.audit.verify import Verified


@click.command()
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option(
    "--checkpoint",
    "checkpoint_files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Signed checkpoints, kept elsewhere; a folder stands for every file in it; repeatable.",
)
@click.option(
    "--authority",
    metavar="KEYFILE",
    type=click.Path(path_type=Path),
    help="Public keys of the project's host authority, which signs checkpoints.",
)
@json_option
def verify(
    *,
    files: tuple[Path, ...],
    checkpoint_files: tuple[Path, ...],
    authority: Path | None,
    as_json: bool,
) -> None:
    """Prove that no row in FILE... was changed, removed, swapped or added; a folder stands for all exports in it.

    That the tail was not cut shows only with --checkpoint, and who signed that only with --authority.
    """
    from ostiary.doors.servers.audit import checkpoint  # noqa: PLC0415
    from ostiary.doors.servers.audit import verify as verifying  # noqa: PLC0415
    from ostiary.doors.servers.audit.segment import files_in  # noqa: PLC0415

    rows, beside = files_in(files)
    named = checkpoint.files_in(checkpoint_files)
    checkpoints = [one for path in (*named, *beside) for one in checkpoint.read(path)]
    keys = checkpoint.read_keys(authority) if authority else ()
    found = verifying.verify(rows, checkpoints, keys)
    if as_json:
        term.result_json(found.as_json())
    if found.faults:
        raise ProofFailed(
            f"the audit of {found.project_id} is not whole",
            why="\n".join(_told(found)),
            fix="compare with another copy, and with the checkpoints kept elsewhere",
            code="tampered",
        )
    if not as_json:
        term.result(sentence(found))


def _told(found: Verified) -> list[str]:
    """The faults, and that more may be there than are told."""
    from ostiary.doors.servers.audit.verify import MOST_FAULTS  # noqa: PLC0415

    more = len(found.faults) == MOST_FAULTS
    return [*found.faults, *([f"only the first {MOST_FAULTS} are told"] if more else [])]


def sentence(found: Verified) -> str:
    """What a person reads of a whole one: also what was not proven."""
    which = f"rows {found.first} to {found.last}" if found.rows else "no row"
    lines = [f"{found.project_id}: {which}, whole"]
    if found.first > 1:
        lines.append(f"what came before row {found.first} is not in these files")
    if not found.covered:
        lines.append("no checkpoint stands for them: a tail that was cut would not show")
        lines.append("give what export wrote beside FILE: --checkpoint FILE.checkpoints")
        return "\n".join(lines)
    by = ", ".join(found.signers)
    trust = "" if found.trusted else ", which nobody vouched for: give --authority"
    lines.append(f"checkpoint {found.covered} is signed by {by}{trust}")
    if late := found.last - found.covered:
        lines.append(
            f"{term.counted(late, 'row')} after it {'has' if late == 1 else 'have'} none yet"
        )
    return "\n".join(lines)
