"""A FAT12, FAT16 or FAT32, read only: whether a file is in it, which is all that an EFI system partition is asked.

Names are compared as 8.3 names in capitals, which firmware itself falls back to. Source: Microsoft FAT specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ostiary.doors.gateway.image.disk import Disk
from ostiary.doors.gateway.image.ext4 import NotPlain

_FOLDER, _LONG_NAME = 0x10, 0x0F
_MOST_CLUSTERS = 4096
_MOST_ENTRIES = 8192


class Fat:
    """The file system that begins at ``start`` of ``disk``."""

    def __init__(self, disk: Disk, start: int, size: int) -> None:
        self._disk, self._start, self._size = disk, start, size
        boot = disk.read(start, 512)
        if len(boot) < 512:  # noqa: PLR2004 - a sector
            raise NotPlain("no boot sector")
        sector, per_cluster, reserved, tables, entries, small, _, short = struct.unpack_from(
            "<HBHBHHBH", boot, 11
        )
        large, long = struct.unpack_from("<II", boot, 32)
        sectors, table = small or large, short or long
        if sector not in (512, 1024, 2048, 4096) or not per_cluster or not sectors or not tables:
            raise NotPlain("sizes")
        self._cluster = sector * per_cluster
        self._table = reserved * sector
        self._root = self._table + tables * table * sector
        self._root_size = entries * 32
        self._data = self._root + -(-self._root_size // sector) * sector
        clusters = (sectors * sector - self._data) // self._cluster
        # The specification goes by the clusters alone; mkfs.fat -F 32 and Linux make and read a FAT32 of fewer.
        self._bits = 32 if not short else 12 if clusters < 4085 else 16  # noqa: PLR2004 - the specification's limit
        self._first = struct.unpack_from("<I", boot, 44)[0] if self._bits == 32 else 0  # noqa: PLR2004

    def exists(self, path: str) -> bool:
        """Whether the path leads to a file."""
        parts = path.upper().split("/")
        data = self._chain(self._first) if self._first else self._read(self._root, self._root_size)
        for depth, part in enumerate(parts):
            entry = next((one for one in _entries(data) if one[0] == part), None)
            if entry is None:
                return False
            _, folder, cluster = entry
            if depth == len(parts) - 1:
                return not folder
            if not folder:
                return False
            data = self._chain(cluster)
        return False

    def _chain(self, cluster: int) -> bytes:
        parts: list[bytes] = []
        while 2 <= cluster < _end(self._bits) and len(parts) < _MOST_CLUSTERS:  # noqa: PLR2004 - the first cluster is 2
            parts.append(self._read(self._data + (cluster - 2) * self._cluster, self._cluster))
            cluster = self._following(cluster)
            if len(parts) * self._cluster > _MOST_ENTRIES * 32:
                break
        return b"".join(parts)

    def _following(self, cluster: int) -> int:
        if self._bits == 12:  # noqa: PLR2004
            pair = struct.unpack("<H", self._read(self._table + cluster * 3 // 2, 2))[0]
            return int(pair >> 4 if cluster & 1 else pair & 0xFFF)
        if self._bits == 16:  # noqa: PLR2004
            return int(struct.unpack("<H", self._read(self._table + cluster * 2, 2))[0])
        return int(struct.unpack("<I", self._read(self._table + cluster * 4, 4))[0] & 0x0FFFFFFF)

    def _read(self, offset: int, size: int) -> bytes:
        if offset < 0 or offset + size > self._size:
            raise NotPlain("a place outside of the partition")
        return self._disk.read(self._start + offset, size)


def _end(bits: int) -> int:
    """The first number that ends a chain or marks a bad cluster."""
    return {12: 0xFF7, 16: 0xFFF7, 32: 0x0FFFFFF7}[bits]


def _entries(data: bytes) -> Iterator[tuple[str, bool, int]]:
    """(name, whether it is a folder, first cluster) of each entry."""
    for at in range(0, min(len(data), _MOST_ENTRIES * 32) - 31, 32):
        entry = data[at : at + 32]
        if not entry[0]:
            return
        if entry[0] == 0xE5 or entry[11] & 0x3F == _LONG_NAME:  # noqa: PLR2004 - deleted
            continue
        stem = entry[:8].rstrip().decode("ascii", "replace")
        extension = entry[8:11].rstrip().decode("ascii", "replace")
        high, low = struct.unpack_from("<H4xH", entry, 20)
        name = f"{stem}.{extension}" if extension else stem
        yield name, bool(entry[11] & _FOLDER), high << 16 | low
