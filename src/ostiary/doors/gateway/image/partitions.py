"""Partition tables: MBR with its chain of logical ones, and GPT with its checksums. Source: UEFI 2.10, chapter 5."""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from ostiary.doors.gateway.image.disk import Disk

SECTOR = 512
_MOST_LOGICAL = 64
_MOST_ENTRIES = 1024
_EXTENDED = frozenset({0x05, 0x0F, 0x85})
_KINDS = {0x07: "ntfs", 0x82: "swap", 0x83: "linux", 0x8E: "lvm", 0xEE: "protective", 0xEF: "esp"}
_GUIDS = {
    "21686148-6449-6e6f-744e-656564454649": "bios-boot",
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "esp",
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "linux",
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "linux",  # root (x86-64), Discoverable Partitions
    "bc13c2ff-59e6-4262-a352-b275fd6f7172": "linux",  # /boot, likewise
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "swap",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "lvm",
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "data",
}


@dataclass(frozen=True, slots=True)
class Partition:
    """``kind`` is linux, esp, bios-boot, lvm, swap, ntfs, data or other; ``start`` and ``size`` in bytes."""

    number: int
    kind: str
    start: int
    size: int
    bootable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """``scheme`` is gpt, mbr or none; ``damage`` says what is wrong with it, or with its copy at the end of the disk."""

    scheme: str
    partitions: tuple[Partition, ...] = ()
    damage: str = ""


def read_table(disk: Disk) -> Table:
    """The partition table of a disk. DamagedDisk only where the disk itself cannot be read."""
    first = disk.read(0, 2 * SECTOR)
    if len(first) < 2 * SECTOR or first[510:512] != b"\x55\xaa":
        return _gpt(disk, SECTOR) if first[SECTOR : SECTOR + 8] == b"EFI PART" else Table("none")
    entries = [first[446 + 16 * index : 462 + 16 * index] for index in range(4)]
    if any(entry[4] == 0xEE for entry in entries):  # noqa: PLR2004 - protective
        return _gpt(disk, SECTOR)
    if not any(entry[4] for entry in entries) or _is_boot_sector(first):
        return Table("none")
    found = tuple(_mbr(disk, entries))
    return Table("mbr", found, _misplaced(found, disk.capacity))


def _misplaced(found: tuple[Partition, ...], capacity: int) -> str:
    """Which partition lies on the table, on another one, or past the end; "" when all lie well."""
    end, last = SECTOR, 0
    for one in sorted(found, key=lambda one: one.start):
        if one.start < end:
            return f"partition {one.number} overlaps " + (f"partition {last}" if last else "it")
        end, last = one.start + one.size, one.number
        if end > capacity:
            return f"partition {one.number} ends past the end of the disk"
    return ""


def _is_boot_sector(first: bytes) -> bool:
    """A FAT or NTFS without a partition table ends with the same two bytes."""
    return first[54:57] == b"FAT" or first[82:85] == b"FAT" or first[3:7] == b"NTFS"


def _mbr(disk: Disk, entries: list[bytes]) -> Iterator[Partition]:
    for number, entry in enumerate(entries, 1):
        kind = entry[4]
        start, size = struct.unpack_from("<II", entry, 8)
        if not kind or not size:
            continue
        if kind in _EXTENDED:
            yield from _logical(disk, start)
        else:
            yield _partition(number, entry, start)


def _partition(number: int, entry: bytes, start: int) -> Partition:
    size = struct.unpack_from("<I", entry, 12)[0]
    kind = _KINDS.get(entry[4], "other")
    return Partition(number, kind, start * SECTOR, size * SECTOR, entry[0] == 0x80)  # noqa: PLR2004 - active


def _logical(disk: Disk, extended: int) -> Iterator[Partition]:
    """The chain of logical partitions; it ends where it leads back, or after 64 of them."""
    at = extended
    seen = set()
    for number in range(5, 5 + _MOST_LOGICAL):
        sector = disk.read(at * SECTOR, SECTOR)
        if len(sector) < SECTOR or sector[510:512] != b"\x55\xaa" or at in seen:
            return
        seen.add(at)
        entry, following = sector[446:462], sector[462:478]
        if entry[4]:
            yield _partition(number, entry, at + struct.unpack_from("<I", entry, 8)[0])
        if not following[4]:
            return
        at = extended + struct.unpack_from("<I", following, 8)[0]


def _gpt(disk: Disk, at: int) -> Table:
    header = disk.read(at, SECTOR)
    table, damage = _gpt_entries(disk, header)
    if table is None:
        backup = disk.read(disk.capacity - SECTOR, SECTOR)
        table, worse = _gpt_entries(disk, backup)
        if table is None:
            return Table("gpt", (), f"{damage}; the backup: {worse}")
        return Table("gpt", table, damage)
    backup = disk.read(disk.capacity - SECTOR, SECTOR)
    if backup[:8] != b"EFI PART":
        damage = "there is no backup table at the end of the disk"
    elif _gpt_entries(disk, backup)[0] != table:
        damage = "the backup table at the end of the disk is damaged or another one"
    return Table("gpt", table, damage)


def _gpt_entries(disk: Disk, header: bytes) -> tuple[tuple[Partition, ...] | None, str]:
    if header[:8] != b"EFI PART":
        return None, "there is no GPT header"
    size, checksum = struct.unpack_from("<II", header, 12)
    place, count, each, table_sum = struct.unpack_from("<QIII", header, 72)
    if not 92 <= size <= SECTOR:  # noqa: PLR2004 - UEFI: at least 92
        return None, "the GPT header has a wrong size"
    if zlib.crc32(header[:16] + bytes(4) + header[20:size]) != checksum:
        return None, "the checksum of the GPT header is wrong"
    if count > _MOST_ENTRIES or each < 128 or each > 4096 or each % 128:  # noqa: PLR2004 - UEFI: 128 times a power of 2
        return None, "the GPT has a strange number or size of entries"
    if place * SECTOR + count * each > disk.capacity:
        return None, "the GPT lies past the end of the disk"
    table = disk.read(place * SECTOR, count * each)
    if zlib.crc32(table) != table_sum:
        return None, "the checksum of the GPT is wrong"
    found = []
    for number in range(count):
        entry = table[number * each : number * each + 128]
        if not any(entry[:16]):
            continue
        first, last = struct.unpack_from("<QQ", entry, 32)
        if not first or last < first or (last + 1) * SECTOR > disk.capacity:
            return None, f"partition {number + 1} does not lie within the disk"
        kind = _GUIDS.get(str(uuid.UUID(bytes_le=entry[:16])), "other")
        found.append(Partition(number + 1, kind, first * SECTOR, (last - first + 1) * SECTOR))
    return tuple(found), ""
