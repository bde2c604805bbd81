"""Which file system a partition holds, by its superblock alone."""

from __future__ import annotations

import struct

from ostiary.doors.gateway.image.disk import Disk

# Offset, magic, name, containers first: what is in them may begin where they do. Sources: kernel documentation of each;
# LVM2 on-disk format (its label is in one of four sectors); LUKS 1.2.3; FAT and NTFS boot sectors.
_MAGICS = (
    *((sector * 512, b"LABELONE", "lvm") for sector in range(4)),
    (0, b"XFSB", "xfs"),
    (0, b"LUKS\xba\xbe", "luks"),
    (0, b"hsqs", "squashfs"),
    (3, b"NTFS    ", "ntfs"),
    (3, b"-FVE-FS-", "bitlocker"),
    (54, b"FAT1", "fat"),
    (82, b"FAT32", "fat"),
    (3, b"EXFAT   ", "exfat"),
    (4086, b"SWAPSPACE2", "swap"),
    (4086, b"SWAP-SPACE", "swap"),
    (0, b"\xfc\x4e\x2b\xa9", "raid"),  # Linux MD 1.1, and 1.2 below
    (4096, b"\xfc\x4e\x2b\xa9", "raid"),
    (0x10040, b"_BHRfS_M", "btrfs"),
    (0x8000, b"JFS1", "jfs"),
    (0x1000, b"\x10\x20\xf5\xf2", "f2fs"),
    (0x400, b"\x10\x20\xf5\xf2", "f2fs"),
)
_EXT = 1024
_JOURNAL, _EXTENTS, _64BIT = 0x4, 0x40, 0x80


def filesystem(disk: Disk, start: int, size: int) -> str:
    """ext2, ext3, ext4, xfs, btrfs, jfs, f2fs, fat, ntfs, exfat, lvm, raid, luks, bitlocker, squashfs, swap, or unknown."""
    first = disk.read(start, min(8192, size))
    for offset, magic, name in _MAGICS:
        if offset < len(first):
            found = first[offset : offset + len(magic)]
        elif offset + len(magic) <= size:
            found = disk.read(start + offset, len(magic))
        else:
            continue
        if found == magic:
            return name
    if first[_EXT + 56 : _EXT + 58] == b"\x53\xef":
        return _ext(first)
    return "unknown"


def _ext(first: bytes) -> str:
    compatible, incompatible, read_only = struct.unpack_from("<III", first, _EXT + 92)
    if incompatible & (_EXTENTS | _64BIT) or read_only & 0x10:
        return "ext4"
    return "ext3" if compatible & _JOURNAL else "ext2"
