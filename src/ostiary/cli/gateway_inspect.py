"""``ostiary gateway inspect``: what an appliance file is, and what VM Import would say of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import json_option
from ostiary.errors import Conflict

if TYPE_CHECKING:
    from ostiary.doors.gateway.image.inspect import Inspection

_STYLES = {"refuse": "red", "warn": "yellow", "info": "dim"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Read all of it and check the digests.")
@click.option(
    "--expect-digest", default="", metavar="SHA256", help="What Okta's download page says."
)
@json_option
def inspect(*, file: Path, verify: bool, expect_digest: str, as_json: bool) -> None:
    """Judge an appliance FILE (.ova, or .ovf alone) before a byte is uploaded.

    Needs no credentials and no network, and reads nothing but FILE.
    """
    from ostiary.doors.gateway.image.inspect import inspect as judge  # noqa: PLC0415 - XML and decoders only for who inspects

    found = judge(file, verify=verify, expect_digest=expect_digest)
    if as_json:
        term.result_json(found.as_json())
    else:
        term.result(render(found))
    if found.verdict == "refuse":
        raise refused(found)


def refused(found: Inspection) -> Conflict:
    """The three lines for a file that VM Import would refuse."""
    first = found.refusals[0]
    more = len(found.refusals) - 1
    why = first.message + (f", and {term.counted(more, 'more refusal')}" if more else "")
    return Conflict(f"{found.file} would be refused", why=why, fix=first.fix, code=first.code)


def render(found: Inspection) -> str:
    """One screen: what it is, its disks, what is wrong, the verdict."""
    system = found.descriptor
    form = found.kind.upper() if found.disks or found.descriptor.machines else "no appliance"
    lines = [f"{found.file}  {form}, {_size(found.size)}"]
    about = [system.name, system.os_type, f"firmware {system.firmware}"]
    if system.machines:
        lines.append(f"machine {', '.join(one for one in about if one)}")
    lines += _digest_lines(found)
    if found.disks:
        rows = [
            (
                one.file or "(empty)",
                one.format,
                _size(one.capacity),
                one.scheme,
                one.boot_mode,
                " ".join(kind for _, kind in one.partitions),
                _inside(one.guest.os, one.guest.drivers),
            )
            for one in found.disks
        ]
        headings = ("disk", "format", "capacity", "table", "boot", "file systems", "inside")
        lines += ["", term.table(headings, rows)]
    if found.problems:
        lines.append("")
    for one in found.problems:
        lines.append(f"{term.paint(one.severity.ljust(6), _STYLES[one.severity])}  {one.message}")
        if one.predicts:
            lines.append(f"        VM Import says: {one.predicts}")
        lines.append(f"        fix: {one.fix}")
    return "\n".join([*lines, "", _sentence(found)])


def _digest_lines(found: Inspection) -> list[str]:
    lines = []
    if found.manifest:
        states = list(found.manifest.status.values())
        parts = [
            f"{states.count(state)} {state.replace('_', ' ')}" for state in sorted(set(states))
        ]
        lines.append(f"manifest {found.manifest.algorithm.upper()}: {', '.join(parts)}")
        if signer := found.manifest.signer:
            lines.append(f"signed by {signer.subject} until {signer.not_after[:10]}: anybody could")
    if found.digest:
        lines.append(f"SHA-256 {found.digest}")
    return lines


def _inside(system: str, drivers: tuple[str, ...] | None) -> str:
    if system == "unknown" and drivers is None:
        return "unknown"
    return f"{system}, {' '.join(drivers)}" if drivers else system


def _sentence(found: Inspection) -> str:
    if found.verdict == "ok":
        return "verdict ok: nothing here that VM Import is known to refuse"
    if found.verdict == "warn":
        return "verdict warn: it can be imported; read what stands above"
    if any(one.safety for one in found.refusals):
        return "verdict refuse: not safe to work with, and --force does not change that"
    return "verdict refuse: VM Import would fail; import --force asks it all the same"


def _size(number: int) -> str:
    amount, unit = float(number), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):  # noqa: B007 - the last one is kept
        if amount < 1024:  # noqa: PLR2004
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"  # noqa: PLR2004 - three digits
