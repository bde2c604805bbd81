"""The header of a sparse VMDK: read, and refused where it makes no sense. Source: VMware, "Virtual Disk Format 5.0"."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ostiary.doors.gateway.image.disk import DamagedDisk

SECTOR = 512
MAGIC = b"KDMV"
ENTRIES = 512  # grains of one grain table
AT_END = 0xFFFFFFFFFFFFFFFF  # directory offset of a disk that was written as a stream
ZEROED = 0x4  # flag: 1 in a grain table is no place but a grain of zeros
_NEWLINES, _COMPRESSED, _MARKERS = 0x1, 0x10000, 0x20000
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_LINE_ENDS = b"\n \r\n"
_DEFLATE = 1
_GRAIN_SECTORS = range(8, 2049)
_MOST_CAPACITY = 64 * 1024**4  # bytes: the largest EBS volume


@dataclass(frozen=True, slots=True)
class Header:
    """The fields that matter. Sizes and offsets are in sectors."""

    flags: int
    capacity: int
    grain: int
    directory: int


def parsed(sector: bytes, code: str = "vmdk-header") -> Header:
    fields = _HEADER.unpack_from(sector)
    magic, version, flags, capacity, grain = fields[:5]
    entries, _, directory, _, _, line_ends, compression = fields[7:]
    if magic != MAGIC:
        raise DamagedDisk(code, "it does not begin with KDMV")
    if version not in (1, 2, 3):
        raise DamagedDisk(code, f"version {version} is not known")
    if flags & _NEWLINES and line_ends != _LINE_ENDS:
        raise DamagedDisk(code, "its line ends were changed: it was sent as text")
    if not flags & _COMPRESSED or not flags & _MARKERS:
        raise DamagedDisk(
            "vmdk-not-stream-optimized",
            "its grains are not compressed: it is no streamOptimized disk",
        )
    if compression != _DEFLATE:
        raise DamagedDisk("vmdk-compression", f"compression algorithm {compression} is not known")
    if grain not in _GRAIN_SECTORS or grain & (grain - 1):
        raise DamagedDisk(code, f"grains of {grain} sectors")
    if entries != ENTRIES:
        raise DamagedDisk(code, f"grain tables of {entries} entries")
    if not capacity or capacity * SECTOR > _MOST_CAPACITY:
        raise DamagedDisk("vmdk-capacity", f"a capacity of {capacity} sectors")
    return Header(flags, capacity, grain, directory)
