"""Whether an EFI system partition holds the loader that firmware starts without being told: EFI/BOOT/BOOTX64.EFI.

Source: Microsoft FAT specification, sections 3 to 6 (short names suffice here); UEFI 2.10, 3.5.1.1 "Removable Media Boot
Behavior"; VM Import/Export User Guide, "Boot modes", which asks for the fallback loader.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_WAY = (b"EFI        ", b"BOOT       ", b"BOOTX64 EFI")
_FOLDER, _LABEL, _ENTRY = 0x10, 0x08, 32
_MOST_CLUSTERS = 4096  # of one folder
_FAT12, _FAT16 = 4085, 65525  # fewer clusters than these make the kind of FAT


@dataclass(frozen=True, slots=True)
class _Fat:
    """Where things lie, in bytes of ``file``; ``bits`` is 12, 16 or 32."""

    file: BinaryIO
    table: int
    root: int
    root_size: int  # 0 when the root is a chain of clusters, as in FAT32
    root_cluster: int
    data: int
    cluster: int
    bits: int


def has_loader(disk: Path, at: int) -> bool:
    """``at`` is where the partition begins, in bytes. What is no FAT holds no loader."""
    with disk.open("rb") as file:
        fat = _open(file, at)
        if fat is None:
            return False
        folder = fat.root_cluster
        for depth, name in enumerate(_WAY):
            found = _find(fat, folder, name, inside=depth > 0)
            if found is None:
                return False
            attributes, folder = found
            if bool(attributes & _FOLDER) != (depth < len(_WAY) - 1):
                return False
    return True


def _open(file: BinaryIO, at: int) -> _Fat | None:
    file.seek(at)
    head = file.read(512)
    if len(head) < 512 or head[510:] != b"\x55\xaa":  # noqa: PLR2004 - a sector and its mark
        return None
    sector, per_cluster, reserved, tables, entries, small = struct.unpack_from("<HBHBHH", head, 11)
    (size16,), (large,) = struct.unpack_from("<H", head, 22), struct.unpack_from("<I", head, 32)
    size = size16 or int.from_bytes(head[36:40], "little")
    if sector not in (512, 1024, 2048, 4096) or not per_cluster or not tables or not size:
        return None
    table = at + reserved * sector
    root = table + tables * size * sector
    root_size = -(-entries * _ENTRY // sector) * sector
    data = root + root_size
    clusters = ((small or large) * sector - (data - at)) // (per_cluster * sector)
    bits = 12 if clusters < _FAT12 else 16 if clusters < _FAT16 else 32
    first = int.from_bytes(head[44:48], "little") if bits == 32 else 0  # noqa: PLR2004 - FAT32
    return _Fat(file, table, root, root_size, first, data, per_cluster * sector, bits)


def _find(fat: _Fat, folder: int, name: bytes, *, inside: bool) -> tuple[int, int] | None:
    """(attributes, first cluster) of an entry."""
    chained = inside or not fat.root_size
    for block in _chain(fat, folder) if chained else [_read(fat, fat.root, fat.root_size)]:
        for entry in (block[i : i + _ENTRY] for i in range(0, len(block) - _ENTRY + 1, _ENTRY)):
            if not entry[0]:
                return None
            if entry[:11] == name and not entry[11] & _LABEL:
                high, low = struct.unpack_from("<H4xH", entry, 20)
                return entry[11], (high << 16 | low) if fat.bits == 32 else low  # noqa: PLR2004
    return None


def _chain(fat: _Fat, cluster: int) -> Iterator[bytes]:
    for _ in range(_MOST_CLUSTERS):
        if not 2 <= cluster < _last(fat.bits):  # noqa: PLR2004 - the first two are no clusters
            return
        block = _read(fat, fat.data + (cluster - 2) * fat.cluster, fat.cluster)
        if len(block) < fat.cluster:
            return
        yield block
        cluster = _next(fat, cluster)


def _last(bits: int) -> int:
    return {12: 0xFF7, 16: 0xFFF7, 32: 0x0FFFFFF7}[bits]


def _next(fat: _Fat, cluster: int) -> int:
    width = 4 if fat.bits == 32 else 2  # noqa: PLR2004 - FAT32
    found = _read(fat, fat.table + cluster * fat.bits // 8, width)
    value = int.from_bytes(found, "little") & 0x0FFFFFFF
    if fat.bits == 12:  # noqa: PLR2004 - one and a half bytes an entry
        return value >> 4 if cluster % 2 else value & 0xFFF
    return value


def _read(fat: _Fat, at: int, size: int) -> bytes:
    fat.file.seek(at)
    return fat.file.read(size)
