"""Partition tables as bytes: MBR and GPT. Source: UEFI Specification 2.10, chapter 5."""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SECTOR = 512
MIB = 1024 * 1024
GPT_TAIL = 33 * SECTOR  # backup entries and header
_ENTRIES = 128
_SPACE = uuid.UUID(
    "0e5c0b1a-2f4e-4d3b-9c51-7b1f0f6f6f01"
)  # ids are made from names: the same every time
TYPES = {
    "bios-boot": uuid.UUID("21686148-6449-6e6f-744e-656564454649"),
    "esp": uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
    "linux": uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4"),
}
MBR_TYPES = {"esp": 0xEF, "linux": 0x83}


@dataclass(frozen=True, slots=True)
class Partition:
    """``kind`` is of ``TYPES``; ``start`` and ``size`` in bytes, whole sectors."""

    kind: str
    start: int
    size: int
    bootable: bool = False


def mbr(partitions: Sequence[Partition], name: str) -> bytes:
    """Sector 0 of a disk with an MBR; the boot code only stops."""
    entries = b"".join(
        struct.pack(
            "<B3sB3sII",
            0x80 if one.bootable else 0,
            b"\xfe\xff\xff",
            MBR_TYPES[one.kind],
            b"\xfe\xff\xff",
            one.start // SECTOR,
            one.size // SECTOR,
        )
        for one in partitions
    ).ljust(64, b"\0")
    return _mbr_sector(entries, name)


def gpt(partitions: Sequence[Partition], capacity: int, name: str) -> Mapping[int, bytes]:
    """Offset -> bytes of a protective MBR, both headers and both tables."""
    sectors = capacity // SECTOR
    table = b"".join(
        TYPES[one.kind].bytes_le
        + uuid.uuid5(_SPACE, f"{name}/{number}").bytes_le
        + struct.pack("<QQQ", one.start // SECTOR, (one.start + one.size) // SECTOR - 1, 0)
        + one.kind.encode("utf-16-le").ljust(72, b"\0")
        for number, one in enumerate(partitions)
    ).ljust(_ENTRIES * 128, b"\0")
    protective = struct.pack(
        "<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, min(sectors - 1, 0xFFFFFFFF)
    )
    return {
        0: _mbr_sector(protective.ljust(64, b"\0"), name),
        SECTOR: _gpt_header(name, table, sectors, here=1, table_at=2),
        2 * SECTOR: table,
        capacity - GPT_TAIL: table,
        capacity - SECTOR: _gpt_header(
            name, table, sectors, here=sectors - 1, table_at=sectors - 33
        ),
    }


def _mbr_sector(entries: bytes, name: str) -> bytes:
    signature = uuid.uuid5(_SPACE, name).bytes[:4]
    code = b"\xfa\xf4\xeb\xfd"  # cli; hlt; and again
    return code.ljust(440, b"\0") + signature + b"\0\0" + entries + b"\x55\xaa"


def _gpt_header(name: str, table: bytes, sectors: int, *, here: int, table_at: int) -> bytes:
    def packed(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART",
            0x10000,
            92,
            checksum,
            0,
            here,
            sectors - here,
            34,
            sectors - 34,
            uuid.uuid5(_SPACE, name).bytes_le,
            table_at,
            _ENTRIES,
            128,
            zlib.crc32(table),
        )

    return packed(zlib.crc32(packed(0))).ljust(SECTOR, b"\0")
