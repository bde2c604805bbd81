"""A raw disk image: the bytes as the guest sees them. Holes of the file are not read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from ostiary.doors.gateway.image.disk import BLOCK, DamagedDisk


class RawDisk:
    """A disk in ``length`` bytes of ``fd`` from ``start``."""

    format = "raw"

    def __init__(self, fd: int, start: int, length: int) -> None:
        self._fd, self._start = fd, start
        self.capacity = length

    def read(self, offset: int, size: int) -> bytes:
        """See ``Disk.read``."""
        size = max(0, min(size, self.capacity - offset))
        data = os.pread(self._fd, size, self._start + offset)
        if len(data) != size:
            raise DamagedDisk("raw-truncated", f"it ends before byte {offset + size}")
        return data

    def stored_blocks(self, size: int = BLOCK) -> Iterator[tuple[int, memoryview]]:
        """See ``Disk.stored_blocks``."""
        zeros = bytes(size)
        number = 0
        while number * size < self.capacity:
            number = self._data_from(number * size) // size
            if number * size >= self.capacity:
                return
            data = self.read(number * size, size).ljust(size, b"\0")
            if data != zeros:
                yield number, memoryview(data)
            number += 1

    def _data_from(self, offset: int) -> int:
        """The first place from ``offset`` on where the file has no hole."""
        try:
            return os.lseek(self._fd, self._start + offset, os.SEEK_DATA) - self._start
        except OSError as error:
            if error.errno == errno.ENXIO:
                return self.capacity
            return offset  # a file system that does not know holes
