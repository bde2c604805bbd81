"""The streamOptimized VMDK: compressed grains of 64 KiB found through a two-level table.

Both variants are read: the directory's place in a footer at the end (VMware), and in the header (qemu-img). Every field is
checked before it is used, and no grain is inflated past its size, so a hostile file costs no more than an honest one.
Source: VMware, "Virtual Disk Format 5.0".
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator

import deflate

from ostiary.doors.gateway.image.disk import BLOCK, DamagedDisk
from ostiary.doors.gateway.image.vmdk_header import (
    AT_END,
    ENTRIES,
    SECTOR,
    ZEROED,
    Header,
    parsed,
)

_GRAIN = struct.Struct("<QI")
_MARKER = struct.Struct("<QII")
_FOOTER, _END = 3, 0  # types of markers
_MOST_DIRECTORY = 16 * 1024 * 1024  # bytes
_MOST_KEPT = 8  # grains


class Vmdk:
    """A disk in ``length`` bytes of ``fd`` from ``start``. Threads must not share one."""

    format = "vmdk-stream-optimized"

    def __init__(self, fd: int, start: int, length: int) -> None:
        self._fd, self._start, self._length = fd, start, length
        header = parsed(self._pread(0, SECTOR))
        if header.directory == AT_END:
            header = self._footer(header)
        self.header = header
        self.capacity = header.capacity * SECTOR
        self._grain = header.grain * SECTOR
        tables = -(-header.capacity // (header.grain * ENTRIES))
        if tables * 4 > min(_MOST_DIRECTORY, length):
            raise DamagedDisk("vmdk-header", f"a directory of {tables} tables cannot be in it")
        self._directory = _sectors(self._pread(header.directory * SECTOR, tables * 4))
        self._tables: dict[int, array[int]] = {}
        self._kept: dict[int, bytes | bytearray] = {}  # the grains read last, the latest at its end

    def read(self, offset: int, size: int) -> bytes:
        """See ``Disk.read``. What lies past the capacity is not there."""
        end = min(offset + size, self.capacity)
        parts = []
        while offset < end:
            index, within = divmod(offset, self._grain)
            take = min(self._grain - within, end - offset)
            data = self._at(index)
            parts.append(data[within : within + take] if data else bytes(take))
            offset += take
        return b"".join(parts)

    def stored_blocks(self, size: int = BLOCK) -> Iterator[tuple[int, memoryview]]:
        """See ``Disk.stored_blocks``. Grains of one block that lie together in the file are read at once."""
        if size % self._grain:
            raise DamagedDisk("vmdk-header", f"grains of {self._grain} bytes do not fill blocks")
        per_block = size // self._grain
        block = bytearray(size)
        zeros = bytes(size)
        for table_index in range(len(self._directory)):
            if not self._directory[table_index]:
                continue
            table = self._read_table(table_index)
            for first in range(0, ENTRIES, per_block):
                places = table[first : first + per_block]
                if not any(places):
                    continue
                base = table_index * ENTRIES + first
                block[:] = zeros
                for within, grain in self._grains(base, places):
                    block[within * self._grain : within * self._grain + len(grain)] = grain
                if block != zeros:
                    yield base // per_block, memoryview(block).toreadonly()

    def _grains(self, base: int, places: array[int]) -> Iterator[tuple[int, bytes | bytearray]]:
        """The stored grains among ``places`` by their index within, from one read where they are neighbours."""
        stored = [place for place in places if place]
        low, high = min(stored) * SECTOR, (max(stored) + 1) * SECTOR
        together = high - low <= 2 * self._grain * len(places)
        data = self._read_some(low, high - low + self._grain + 2 * SECTOR) if together else b""
        for within, place in enumerate(places):
            if not place:
                continue
            at = place * SECTOR
            if not together:
                yield within, self._inflated(base + within, self._read_grain(at), 0)
            else:
                yield within, self._inflated(base + within, data, at - low)

    def _at(self, index: int) -> bytes | bytearray:
        """One grain, b"" where nothing is stored; a few are kept, for readers of small pieces here and there."""
        if (kept := self._kept.pop(index, None)) is not None:
            self._kept[index] = kept
            return kept
        table_index, within = divmod(index, ENTRIES)
        if not self._directory[table_index]:
            return b""
        place = self._table(table_index)[within]
        if not place:
            return b""
        grain = self._inflated(index, self._read_grain(place * SECTOR), 0)
        if len(self._kept) == _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[index] = grain
        return grain

    def _read_grain(self, at: int) -> bytes:
        return self._read_some(at, self._grain + 2 * SECTOR)

    def _inflated(self, index: int, data: bytes, at: int) -> bytes | bytearray:
        if at + _GRAIN.size > len(data):
            raise DamagedDisk("vmdk-truncated", f"grain {index} lies past the end of the file")
        lba, size = _GRAIN.unpack_from(data, at)
        if lba != index * self.header.grain:
            raise DamagedDisk("vmdk-grain", f"where grain {index} should be is sector {lba}")
        room = self.capacity - index * self._grain
        if room <= 0:
            raise DamagedDisk("vmdk-grain", f"grain {index} lies past the end of the disk")
        begin = at + _GRAIN.size
        if not size or size > self._grain + SECTOR:
            raise DamagedDisk("vmdk-grain", f"grain {index} says that it has {size} bytes")
        if begin + size > len(data):
            raise DamagedDisk("vmdk-truncated", f"grain {index} is cut off")
        try:
            grain: bytes | bytearray = deflate.zlib_decompress(
                memoryview(data)[begin : begin + size], self._grain
            )
        except deflate.DeflateError as error:
            raise DamagedDisk("vmdk-grain", f"grain {index} cannot be inflated") from error
        if len(grain) != self._grain and len(grain) < min(self._grain, room):
            raise DamagedDisk("vmdk-grain", f"grain {index} has {len(grain)} bytes")
        return grain[:room] if len(grain) > room else grain

    def _table(self, index: int) -> array[int]:
        """A grain table, the few last ones kept: random reads come back to the same."""
        if index not in self._tables:
            if len(self._tables) >= 64:  # noqa: PLR2004 - 128 KiB of tables
                self._tables.clear()
            self._tables[index] = self._read_table(index)
        return self._tables[index]

    def _read_table(self, index: int) -> array[int]:
        table = _sectors(self._pread(self._directory[index] * SECTOR, ENTRIES * 4))
        if self.header.flags & ZEROED:  # 1 is then no place but a grain of zeros
            return array(table.typecode, (place if place != 1 else 0 for place in table))
        return table

    def _footer(self, first: Header) -> Header:
        """The header's copy near the end, between two markers, which knows where the directory is."""
        end = self._pread(self._length - 3 * SECTOR, 3 * SECTOR)
        markers = _MARKER.unpack_from(end), _MARKER.unpack_from(end, 2 * SECTOR)
        if markers[0][1:] != (0, _FOOTER) or markers[1] != (0, 0, _END):
            raise DamagedDisk("vmdk-footer", "it does not end with a footer")
        footer = parsed(end[SECTOR : 2 * SECTOR], "vmdk-footer")
        ours, theirs = ((one.capacity, one.grain) for one in (first, footer))
        if ours != theirs:
            raise DamagedDisk("vmdk-footer", "header and footer say different sizes")
        if footer.directory == AT_END:
            raise DamagedDisk("vmdk-footer", "the footer does not say where the directory is")
        return footer

    def _pread(self, offset: int, size: int) -> bytes:
        data = self._read_some(offset, size)
        if len(data) != size:
            raise DamagedDisk("vmdk-truncated", f"it ends before byte {offset + size}")
        return data

    def _read_some(self, offset: int, size: int) -> bytes:
        """At most ``size`` bytes, fewer at the end of the disk's part of the file."""
        if offset < 0 or offset >= self._length:
            raise DamagedDisk("vmdk-truncated", f"byte {offset} lies outside of it")
        return os.pread(self._fd, min(size, self._length - offset), self._start + offset)


def open_vmdk(fd: int, start: int, length: int) -> Vmdk:
    """DamagedDisk if it is no streamOptimized VMDK, or one that cannot be trusted."""
    return Vmdk(fd, start, length)


def _sectors(data: bytes) -> array[int]:
    numbers = array("I", data)
    if numbers.itemsize != 4 or struct.pack("=I", 1) != b"\1\0\0\0":  # noqa: PLR2004 - bytes
        numbers = array("L", struct.unpack(f"<{len(data) // 4}I", data))
    return numbers
