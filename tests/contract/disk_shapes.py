"""Disks to read: raw bytes of a shape, and VMDKs of both variants made of them."""

from __future__ import annotations

import contextlib
import functools
import io
import random
from collections.abc import Iterator
from pathlib import Path

from ostiary.doors.gateway.image.disk import Disk
from ostiary.doors.gateway.image.formats import open_disk
from ostiary.sandbox.appliance.vmdk import write_vmdk

GRAIN, BLOCK, MIB = 64 * 1024, 512 * 1024, 1024 * 1024


def made_raw(size: int, seed: int = 1, holes: float = 0.5) -> bytes:
    """``size`` bytes in pieces of a grain: holes, text, noise, and grains with a single byte."""
    chance = random.Random(seed)
    parts = []
    for at in range(0, size, GRAIN):
        kind = chance.random()
        if kind < holes:
            piece = bytes(GRAIN)
        elif kind < holes + 0.1:
            piece = chance.randbytes(GRAIN)
        elif kind < holes + 0.2:
            piece = bytes(GRAIN - 1) + b"\1"
        else:
            piece = (f"grain {at} of {size}\n".encode() * 8192)[:GRAIN]
        parts.append(piece)
    return b"".join(parts)[:size]


@functools.lru_cache(maxsize=8)  # a run that goes on after a stop sends the same disk again
def as_vmdk(raw: bytes, variant: str = "footer") -> bytes:
    out = io.BytesIO()
    write_vmdk(out, io.BytesIO(raw), len(raw), variant=variant, name="d.vmdk", level=1)
    return out.getvalue()


@contextlib.contextmanager
def opened(path: Path, start: int = 0, length: int | None = None) -> Iterator[Disk]:
    with path.open("rb") as file:
        size = path.stat().st_size - start if length is None else length
        yield open_disk(file.fileno(), start, size)


def rebuilt(disk: Disk) -> bytes:
    """The disk out of its stored blocks; they come in order, each with something in it, the last one padded."""
    held = bytearray(-(-disk.capacity // BLOCK) * BLOCK)
    last = -1
    for index, data in disk.stored_blocks():
        assert index > last
        assert len(data) == BLOCK
        assert any(data)
        held[index * BLOCK : (index + 1) * BLOCK] = data
        last = index
    assert not any(held[disk.capacity :])
    return bytes(held[: disk.capacity])
