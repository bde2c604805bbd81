"""What ``ostiary sandbox appliance`` makes of its flags."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ostiary.errors import UsageError
from ostiary.sandbox.appliance.guest import Guest
from ostiary.sandbox.appliance.make import Appliance, DiskSpec, Made, make_ova
from ostiary.sandbox.appliance.partitioning import MIB

MOST = 16 * 1024  # MiB of a disk
_MOST_NAME = 40


def make(
    path: Path,
    *,
    firmware: str,
    table: str,
    disks: Sequence[int],
    variant: str,
    signed: bool,
    network: str,
    version: int,
    faults: Sequence[str],
) -> Made:
    """An appliance with disks of these sizes in MiB. UsageError for what cannot be made."""
    for size in disks:
        if not 0 < size <= MOST:
            raise UsageError(f"cannot make a disk of {size} MiB", fix=f"choose up to {MOST} MiB")
    appliance = Appliance(
        name=_name_of(path),
        firmware=firmware,
        table=table or ("gpt" if firmware == "uefi" else "mbr"),
        disks=tuple(DiskSpec(size * MIB) for size in disks) or (DiskSpec(),),
        variant=variant,
        signed=signed,
        guest=Guest(network=network),
        version=version,
        faults=frozenset(faults),
    )
    return make_ova(path, appliance)


def _name_of(path: Path) -> str:
    """The file's name, of letters that go into a descriptor, a manifest and a tar."""
    return re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._")[:_MOST_NAME] or "oag"
