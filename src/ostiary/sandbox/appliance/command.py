"""What ``ostiary sandbox appliance`` makes of its flags."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ostiary.errors import UsageError
from ostiary.sandbox.appliance.make import Appliance, DiskSpec, Made, make_ova
from ostiary.sandbox.appliance.partitioning import MIB

LEAST, MOST = 32, 16 * 1024  # MiB of a disk


def make(
    path: Path,
    *,
    firmware: str,
    table: str,
    disks: Sequence[int],
    version: int,
    faults: Sequence[str],
) -> Made:
    """An appliance with disks of these sizes in MiB. UsageError for what cannot be made."""
    for size in disks:
        if not LEAST <= size <= MOST:
            raise UsageError(
                f"cannot make a disk of {size} MiB", fix=f"choose {LEAST} to {MOST} MiB"
            )
    appliance = Appliance(
        name=path.stem.lower()[:40] or "oag",
        firmware=firmware,
        table=table or ("gpt" if firmware == "uefi" else "mbr"),
        disks=tuple(DiskSpec(size * MIB) for size in disks) or (DiskSpec(),),
        version=version,
        faults=frozenset(faults),
    )
    return make_ova(path, appliance)
