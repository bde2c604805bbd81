"""Writes streamOptimized VMDKs in both variants: with a footer as VMware does, with all in the header as qemu-img does.

Source: VMware, "Virtual Disk Format 5.0".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import BinaryIO

SECTOR = 512
GRAIN_SECTORS = 128
GRAIN = GRAIN_SECTORS * SECTOR
_HOLE = bytes(GRAIN)
PER_TABLE = 512
_DESCRIPTOR_SECTORS = 20
_GT, _GD, _FOOTER, _EOS = 1, 2, 3, 0
_AT_END = 0xFFFFFFFFFFFFFFFF


def write_vmdk(
    out: BinaryIO, disk: BinaryIO, capacity: int, *, variant: str, name: str, level: int = 6
) -> None:
    """Write the disk that ``disk`` holds (from its beginning) to ``out``; ``variant`` is footer or header."""
    begin = out.tell()
    tables = -(-capacity // (GRAIN * PER_TABLE))
    directory = [0] * tables
    first = 1 + _DESCRIPTOR_SECTORS
    directory_sectors = -(-tables * 4 // SECTOR)
    table_sectors = PER_TABLE * 4 // SECTOR
    places: list[list[int]] = [[0] * PER_TABLE for _ in range(tables)]
    if variant == "header":
        directory = [first + directory_sectors + index * table_sectors for index in range(tables)]
        overhead = first + directory_sectors + tables * table_sectors
    else:
        overhead = GRAIN_SECTORS
    out.write(bytes(overhead * SECTOR))

    def sector() -> int:
        return (out.tell() - begin) // SECTOR

    for index in range(tables):
        for within in range(PER_TABLE):
            data = disk.read(GRAIN)
            if not data:
                break
            if _HOLE.startswith(data):
                continue
            packed = zlib.compress(data.ljust(GRAIN, b"\0"), level)
            number = index * PER_TABLE + within
            places[index][within] = sector()
            _padded(out, struct.pack("<QI", number * GRAIN_SECTORS, len(packed)) + packed)
        if variant != "header" and any(places[index]):
            _marker(out, table_sectors, _GT)
            directory[index] = sector()
            out.write(struct.pack(f"<{PER_TABLE}I", *places[index]))
    if variant == "header":
        _marker(out, 0, _EOS)
        front = {first: directory, **dict(zip(directory, places, strict=True))}
        _front(out, begin, _header(capacity, first, overhead), _descriptor(capacity, name), front)
        return
    _marker(out, directory_sectors, _GD)
    at = sector()
    _padded(out, struct.pack(f"<{tables}I", *directory))
    _marker(out, 1, _FOOTER)
    out.write(_header(capacity, at, overhead))
    _marker(out, 0, _EOS)
    _front(out, begin, _header(capacity, _AT_END, overhead), _descriptor(capacity, name), {})


def _front(
    out: BinaryIO,
    begin: int,
    header: bytes,
    text: bytes,
    tables: Mapping[int, Sequence[int]],
) -> None:
    """Go back and write what stands in front; ``tables`` by their sector."""
    end = out.tell()
    out.seek(begin)
    out.write(header + text.ljust(_DESCRIPTOR_SECTORS * SECTOR, b"\0"))
    for at, table in tables.items():
        out.seek(begin + at * SECTOR)
        out.write(struct.pack(f"<{len(table)}I", *table))
    out.seek(end)


def _padded(out: BinaryIO, data: bytes) -> None:
    out.write(data + bytes(-len(data) % SECTOR))


def _marker(out: BinaryIO, sectors: int, kind: int) -> None:
    out.write(struct.pack("<QII", sectors, 0, kind).ljust(SECTOR, b"\0"))


def _header(capacity: int, directory: int, overhead: int) -> bytes:
    return struct.pack(
        "<4sIIQQQQIQQQB4sH",
        b"KDMV",
        3,
        0x30001,
        capacity // SECTOR,
        GRAIN_SECTORS,
        1,
        _DESCRIPTOR_SECTORS,
        PER_TABLE,
        0,
        directory,
        overhead,
        0,
        b"\n \r\n",
        1,
    ).ljust(SECTOR, b"\0")


def _descriptor(capacity: int, name: str) -> bytes:
    cylinders = min(16383, capacity // (255 * 63 * SECTOR))
    return f"""# Disk DescriptorFile
version=1
CID=0e5c0b1a
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW {capacity // SECTOR} SPARSE "{name}"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "13"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.adapterType = "lsilogic"
""".encode()
