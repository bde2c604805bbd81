"""A FAT16 file system with a few small files: what an EFI system partition needs. Source: Microsoft FAT specification."""

from __future__ import annotations

import struct
from collections.abc import Mapping

SECTOR = 512
CLUSTER_SECTORS = 2
ROOT_ENTRIES = 512
_CLUSTER = SECTOR * CLUSTER_SECTORS
_FIRST = 2  # number of the first cluster
_END = 0xFFFF
_DATE = (46 << 9) | (1 << 5) | 1  # 2026-01-01, as FAT writes it
_VOLUME, _FOLDER, _FILE = 0x08, 0x10, 0x20
_LABEL = "ESP"


def fat16(size: int, files: Mapping[str, bytes]) -> bytes:
    """``files`` by path (``EFI/BOOT/BOOTX64.EFI``), every part of it an 8.3 name in capitals, up to 30 in a folder."""
    sectors = size // SECTOR
    root_sectors = ROOT_ENTRIES * 32 // SECTOR
    table_sectors = -(-(sectors // CLUSTER_SECTORS + _FIRST) * 2 // SECTOR)
    table = [0xFFF8, _END]
    data: list[bytes] = []

    def store(content: bytes) -> int:
        """Append clusters in a chain; the first one's number, 0 for nothing."""
        count = -(-len(content) // _CLUSTER)
        first = len(table)
        table.extend(first + index + 1 for index in range(count - 1))
        if count:
            table.append(_END)
            data.append(content.ljust(count * _CLUSTER, b"\0"))
        return first if count else 0

    def folder(prefix: str, own: int) -> list[bytes]:
        """Its entries; ``own`` is its first cluster, 0 of the root."""
        entries = []
        inside = [name.removeprefix(prefix) for name in files if name.startswith(prefix)]
        for name in sorted({one.partition("/")[0] for one in inside}):
            path = prefix + name
            if path in files:
                entries.append(_entry(name, _FILE, store(files[path]), len(files[path])))
                continue
            first = len(table)
            table.append(_END)
            place = len(data)
            data.append(b"")
            dots = [_entry(".", _FOLDER, first, 0), _entry("..", _FOLDER, own, 0)]
            data[place] = b"".join((*dots, *folder(path + "/", first))).ljust(_CLUSTER, b"\0")
            entries.append(_entry(name, _FOLDER, first, 0))
        return entries

    label = _entry(_LABEL, _VOLUME, 0, 0)
    root = b"".join((label, *folder("", 0))).ljust(root_sectors * SECTOR, b"\0")
    fat = struct.pack(f"<{len(table)}H", *table).ljust(table_sectors * SECTOR, b"\0")
    return b"".join((_boot(sectors, table_sectors), fat, fat, root, *data)).ljust(size, b"\0")


def _boot(sectors: int, table_sectors: int) -> bytes:
    small, large = (sectors, 0) if sectors < 0x10000 else (0, sectors)  # noqa: PLR2004 - 16 bits
    head = struct.pack(
        "<3s8sHBHBHHBHHHII",
        b"\xeb\x3c\x90",
        b"OSTIARY ",
        SECTOR,
        CLUSTER_SECTORS,
        1,
        2,
        ROOT_ENTRIES,
        small,
        0xF8,
        table_sectors,
        63,
        255,
        0,
        large,
    )
    tail = struct.pack(
        "<BBBI11s8s", 0x80, 0, 0x29, 0x20260101, _LABEL.ljust(11).encode(), b"FAT16   "
    )
    return (head + tail).ljust(510, b"\0") + b"\x55\xaa"


def _entry(name: str, attributes: int, cluster: int, size: int) -> bytes:
    stem, dot, extension = name.partition(".")
    if stem == "" and dot:
        stem, extension = name, ""
    return struct.pack(
        "<8s3sBBBHHHHHHHI",
        stem.ljust(8).encode(),
        extension.ljust(3).encode(),
        attributes,
        0,
        0,
        0,
        _DATE,
        _DATE,
        0,
        0,
        _DATE,
        cluster,
        size,
    )
