"""How a disk is divided and what could start it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ostiary.doors.gateway.image.disk import DamagedDisk, Disk
from ostiary.doors.gateway.image.ext4 import NotPlain
from ostiary.doors.gateway.image.fat import Fat
from ostiary.doors.gateway.image.filesystems import filesystem
from ostiary.doors.gateway.image.guest import Guest, read_guest
from ostiary.doors.gateway.image.partitions import Partition, Table, read_table

LOADER = "EFI/BOOT/BOOTX64.EFI"  # what every UEFI firmware looks for when it knows of no entry; EC2 knows of none
THERE, ABSENT, UNREAD, NO_ESP = "there", "absent", "unread", ""


@dataclass(frozen=True, slots=True)
class Layout:
    """``boot_mode`` is bios, uefi, uefi+bios or unknown; ``filesystems`` by partition number.

    ``loader`` says whether an EFI system partition has ``LOADER``. A disk that is one file system has a partition 0.
    """

    table: Table
    partitions: tuple[Partition, ...]
    filesystems: Mapping[int, str]
    boot_mode: str
    loader: str
    guest: Guest = field(default_factory=Guest)


def read_layout(disk: Disk, *, root_disk: bool) -> Layout:
    """Partitions, file systems, boot mode; for the root disk also the guest. DamagedDisk if the disk cannot be read."""
    table = read_table(disk)
    partitions = table.partitions
    if table.scheme == "none":
        whole = Partition(0, "whole", 0, disk.capacity)
        kind = filesystem(disk, 0, disk.capacity)
        partitions = (whole,) if kind != "unknown" else ()
    kinds = {
        one.number: filesystem(disk, one.start, one.size)
        for one in partitions
        if one.start + one.size <= disk.capacity
    }
    loader = _loader(disk, partitions, kinds)
    guest = read_guest(disk, partitions, kinds) if root_disk else Guest()
    return Layout(table, partitions, kinds, _boot_mode(table, loader), loader, guest)


def _loader(disk: Disk, partitions: Sequence[Partition], kinds: Mapping[int, str]) -> str:
    state = NO_ESP
    for one in partitions:
        if one.kind != "esp":
            continue
        state = state or ABSENT
        if kinds.get(one.number) == "fat":
            try:
                if Fat(disk, one.start, one.size).exists(LOADER):
                    return THERE
            except (NotPlain, DamagedDisk):
                state = UNREAD
    return state


def _boot_mode(table: Table, loader: str) -> str:
    """What the disk can be started by, as far as its table and its EFI system partition tell."""
    bios = any(one.bootable for one in table.partitions)
    if table.scheme == "gpt":
        bios = any(one.kind == "bios-boot" for one in table.partitions)
    if loader == THERE:
        return "uefi+bios" if bios else "uefi"
    if bios or (table.scheme == "mbr" and loader == NO_ESP and table.partitions):
        return "bios"
    return "unknown"
