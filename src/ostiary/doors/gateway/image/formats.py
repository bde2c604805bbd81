"""What kind of disk a file holds, by its first bytes: names lie, and OVF descriptors guess."""

from __future__ import annotations

import os

from ostiary.doors.gateway.image.disk import DamagedDisk, Disk
from ostiary.doors.gateway.image.raw import RawDisk
from ostiary.doors.gateway.image.vmdk import open_vmdk

# Magic at an offset -> the name that people know the format by; none of them is read here.
_OTHERS = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"# Disk DescriptorFile", "VMDK descriptor without its extents"),
    (0, b"COWD", "VMDK of an old ESX"),
    (0, b"vhdxfile", "VHDX"),
    (0, b"conectix", "VHD"),
    (64, b"\x7f\x10\xda\xbe", "VDI"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"PK\x03\x04", "zip"),
    (32769, b"CD001", "ISO 9660"),
)
_SNIFFED = 32774
_SECTOR = 512


def open_disk(fd: int, start: int, length: int) -> Disk:
    """The disk in that part of the file. DamagedDisk with the format's name if it is one that is not read."""
    first = os.pread(fd, min(_SNIFFED, max(length, 0)), start)
    if not first:
        raise DamagedDisk("disk-empty", "it is empty: disk-image-size=0")
    if first.startswith(b"KDMV"):
        return open_vmdk(fd, start, length)
    for offset, magic, name in _OTHERS:
        if first[offset : offset + len(magic)] == magic:
            raise DamagedDisk("disk-format", f"it is {name}")
    if length % _SECTOR:
        raise DamagedDisk("disk-format", "it is no disk image that is known")
    return RawDisk(fd, start, length)
