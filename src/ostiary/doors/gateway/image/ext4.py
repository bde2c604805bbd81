"""A plain ext2, ext3 or ext4, read only: folders and small files, as far as an inspection needs.

Whatever is not plain (encryption, inline data of folders, clusters, another block size than 1 to 64 KiB) raises
``NotPlain``: then nothing is known, and nothing is guessed. Source: kernel documentation, filesystems/ext4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ostiary.doors.gateway.image.disk import DamagedDisk, Disk

ROOT = 2
# Filetype, extents, 64-bit, flex_bg, large attributes, csum_seed, inline data (of small files). Not "needs recovery": what
# its journal holds may be newer than what is read here.
_READABLE = 0x2 | 0x40 | 0x80 | 0x200 | 0x400 | 0x2000 | 0x8000
_EXTENTS, _INLINE = 0x80000, 0x10000000
_MOST_FILE = 1024 * 1024
_MOST_ENTRIES = 200_000  # of all folders that are looked through, again and again if need be
_MOST_DEPTH = 5
_MOST_READS = 4096  # of one file system: an honest one needs some hundred
_MOST_PATH = 4096
_FOLDER, _FILE, _LINK = 0x4000, 0x8000, 0xA000
_MOST_LINKS = 8


class NotPlain(Exception):
    """This file system, or this part of it, is not one that is read here."""


class Ext4:
    """The file system that begins at ``start`` of ``disk``."""

    def __init__(self, disk: Disk, start: int, size: int) -> None:
        self._disk, self._start, self._size = disk, start, size
        self._reads = self._seen = 0
        block = disk.read(start + 1024, 1024)
        if len(block) < 1024 or block[56:58] != b"\x53\xef":  # noqa: PLR2004 - the superblock's size
            raise NotPlain("no superblock")
        log, self._per_group = struct.unpack_from("<I12xI", block, 24)
        incompatible = struct.unpack_from("<I", block, 96)[0]
        if incompatible & ~_READABLE:
            raise NotPlain(f"features {incompatible & ~_READABLE:#x}")
        if log > 6 or not self._per_group:  # noqa: PLR2004 - blocks of at most 64 KiB
            raise NotPlain("block size")
        self._block = 1024 << log
        self._first = struct.unpack_from("<I", block, 20)[0]
        self._inodes = struct.unpack_from("<I", block, 0)[0]
        self._inode_size = struct.unpack_from("<H", block, 88)[0] or 128
        self._descriptor = 32
        if incompatible & 0x80:
            self._descriptor = struct.unpack_from("<H", block, 254)[0]
        if self._inode_size < 128 or self._descriptor not in (32, 64):  # noqa: PLR2004
            raise NotPlain("sizes")

    def names(self, path: str) -> tuple[str, ...]:
        """What is in a folder; empty when there is no such folder."""
        inode = self._find(path)
        if inode is None or not _is(inode, _FOLDER):
            return ()
        return tuple(name for name, _ in self._entries(inode) if name not in (".", ".."))

    def text(self, path: str) -> str | None:
        """A small file as text; None when there is none."""
        inode = self._find(path)
        if inode is None or not _is(inode, _FILE):
            return None
        return self._content(inode).decode("utf-8", "replace")

    def exists(self, path: str) -> bool:
        return self._find(path) is not None

    def _find(self, path: str) -> bytes | None:
        """The inode of a path; symbolic links are followed inside the file system, a few times."""
        number, links = ROOT, 0
        walked: list[str] = []
        todo = [part for part in path.split("/") if part]
        while todo:
            part = todo.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                walked = walked[:-1]
                todo, number = walked + todo, ROOT
                walked = []
                continue
            folder = self._inode(number)
            if not _is(folder, _FOLDER):
                return None
            entry = next((one for name, one in self._entries(folder) if name == part), None)
            if entry is None:
                return None
            inode = self._inode(entry)
            if _is(inode, _LINK):
                links += 1
                if links > _MOST_LINKS:
                    return None
                target = self._link(inode)
                inside = [one for one in target.split("/") if one]
                todo = (inside if target.startswith("/") else walked + inside) + todo
                number, walked = ROOT, []
                continue
            number = entry
            walked.append(part)
        return self._inode(number)

    def _inode(self, number: int) -> bytes:
        if not 1 <= number <= self._inodes:
            raise NotPlain("an inode that is not there")
        group, index = divmod(number - 1, self._per_group)
        at = (self._first + 1) * self._block + group * self._descriptor
        descriptor = self._read(at, self._descriptor)
        table = struct.unpack_from("<I", descriptor, 8)[0]
        if self._descriptor == 64:  # noqa: PLR2004 - 64bit
            table |= struct.unpack_from("<I", descriptor, 40)[0] << 32
        return self._read(table * self._block + index * self._inode_size, self._inode_size)

    def _entries(self, folder: bytes) -> Iterator[tuple[str, int]]:
        if struct.unpack_from("<I", folder, 32)[0] & (_INLINE | 0x800):
            raise NotPlain("an encrypted or inline folder")
        data = self._content(folder)
        at = 0
        while at + 8 <= len(data):
            number, length, size = struct.unpack_from("<IHB", data, at)
            self._seen += 1
            if length < 8 or self._seen > _MOST_ENTRIES:  # noqa: PLR2004 - the head of an entry
                raise NotPlain("a folder entry without length, or endless ones")
            if number and size:
                yield data[at + 8 : at + 8 + size].decode("utf-8", "replace"), number
            at += length

    def _content(self, inode: bytes) -> bytes:
        size = struct.unpack_from("<I", inode, 4)[0] | struct.unpack_from("<I", inode, 108)[0] << 32
        flags = struct.unpack_from("<I", inode, 32)[0]
        if size > _MOST_FILE:
            raise NotPlain("a large file")
        if flags & 0x800:
            raise NotPlain("an encrypted file")
        if flags & _INLINE:
            if size > 60:  # noqa: PLR2004 - what fits into i_block
                raise NotPlain("inline data beyond the inode")
            return inode[40 : 40 + size]
        wanted = -(-size // self._block)
        blocks = self._blocks(inode, wanted, extents=bool(flags & _EXTENTS))
        parts = [
            self._read(blocks[index] * self._block, self._block)
            if blocks.get(index)
            else bytes(self._block)
            for index in range(wanted)
        ]
        return b"".join(parts)[:size]

    def _blocks(self, inode: bytes, wanted: int, *, extents: bool) -> dict[int, int]:
        """Where each block of a file lies; a block that is told of twice is no honest one."""
        found: dict[int, int] = {}
        places = self._extents(inode[40:100], wanted) if extents else self._mapped(inode, wanted)
        for index, place in places:
            if index in found:
                raise NotPlain("extents that overlap")
            found[index] = place
        return found

    def _extents(
        self, node: bytes, wanted: int, under: int = _MOST_DEPTH + 1
    ) -> Iterator[tuple[int, int]]:
        magic, count, _, level = struct.unpack_from("<HHHH", node)
        if magic != 0xF30A or level >= under or 12 + 12 * count > len(node):  # noqa: PLR2004
            raise NotPlain("an extent tree that is none")
        for index in range(count):
            at = 12 + 12 * index
            if level:
                low, high = struct.unpack_from("<IH", node, at + 4)
                child = self._read((low | high << 32) * self._block, self._block)
                yield from self._extents(child, wanted, level)
                continue
            first, length, high, low = struct.unpack_from("<IHHI", node, at)
            length = length if length <= 32768 else 0  # noqa: PLR2004 - longer ones are not written yet
            for within in range(min(length, max(0, wanted - first))):
                yield first + within, (high << 32 | low) + within

    def _mapped(self, inode: bytes, wanted: int) -> Iterator[tuple[int, int]]:
        """The old way: twelve blocks, then one level of indirection; more is not needed here."""
        direct = struct.unpack_from("<12I", inode, 40)
        yield from enumerate(direct[:wanted])
        indirect = struct.unpack_from("<I", inode, 88)[0]
        if wanted > 12 and indirect:  # noqa: PLR2004 - direct blocks
            table = self._read(indirect * self._block, self._block)
            numbers = struct.unpack(f"<{self._block // 4}I", table)
            if wanted - 12 > len(numbers):
                raise NotPlain("a large file")
            yield from enumerate(numbers[: wanted - 12], 12)

    def _link(self, inode: bytes) -> str:
        size = struct.unpack_from("<I", inode, 4)[0]
        if size > _MOST_PATH:
            raise NotPlain("a long link")
        if size < 60:  # noqa: PLR2004 - a fast link lies in i_block
            return inode[40 : 40 + size].decode("utf-8", "replace")
        return self._content(inode).decode("utf-8", "replace")

    def _read(self, offset: int, size: int) -> bytes:
        self._reads += 1
        if offset < 0 or offset + size > self._size or self._reads > _MOST_READS:
            raise NotPlain("a place outside of the partition, or endless reading")
        data = self._disk.read(self._start + offset, size)
        if len(data) != size:
            raise DamagedDisk("disk-format", "a partition ends early")
        return data


def _is(inode: bytes, kind: int) -> bool:
    found: int = struct.unpack_from("<H", inode)[0]
    return found & 0xF000 == kind
