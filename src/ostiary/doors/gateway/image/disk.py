"""A virtual disk inside a file: what every reader of an image needs to know about one.

Formats are files of their own (``vmdk.py``, ``raw.py``); this is what they have in common.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

BLOCK = 512 * 1024  # bytes: the only block size of EBS direct APIs


class DamagedDisk(Exception):
    """The bytes are not what their format promises. ``code`` is a code of ``problems.py``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Disk(Protocol):
    """A disk that can be read at any place. Reads never write and never go past the disk's part of the file."""

    format: str  # "vmdk-stream-optimized", "raw"
    capacity: int  # bytes, as the guest sees the disk

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes; zeros where nothing is stored. DamagedDisk where what is stored cannot be read."""
        ...

    def stored_blocks(self, size: int = BLOCK) -> Iterator[tuple[int, memoryview]]:
        """Number and bytes of each block of ``size`` that is not all zeros, ascending.

        The last one is padded with zeros to ``size``. A block is valid until the next one is asked for.
        """
        ...
