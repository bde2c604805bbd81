"""The one read of an appliance before anything is sent: every promise of the manifest, the file's own digest, and the
checksum that each part of an upload will be held to.

Nothing is hashed again while it is sent: S3 compares each part with the checksum taken here, so a file that changes in
between is found out by the service itself.
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import deflate

from ostiary.doors.gateway.image.inspect import opened, with_digests
from ostiary.doors.gateway.image.inspection import Inspection
from ostiary.doors.gateway.image.manifest import Digests
from ostiary.doors.gateway.importing.settings import OnStep, Step
from ostiary.errors import Conflict, Interrupted

CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Span:
    """A run of bytes of the file that becomes one object: all of it, or one disk."""

    start: int
    size: int
    part: int  # bytes of a part

    @property
    def parts(self) -> int:
        return max(1, -(-self.size // self.part))

    def bounds(self, number: int) -> tuple[int, int]:
        """(offset in the file, size) of part ``number``, from 1."""
        begin = (number - 1) * self.part
        return self.start + begin, min(self.part, self.size - begin)


@dataclass(slots=True)
class Checksums:
    """CRC32 of each part of a span, taken while bytes go by in order."""

    span: Span
    done: list[str]
    _crc: int = 0
    _at: int = 0  # bytes of the span seen

    def feed(self, offset: int, data: memoryview) -> None:
        low = max(0, self.span.start - offset)
        high = min(len(data), self.span.start + self.span.size - offset)
        view = data[low:high] if high > low else data[:0]
        while view:
            room = self.span.part - self._at % self.span.part
            piece = view[:room]
            self._crc = deflate.crc32(piece, self._crc)
            self._at += len(piece)
            view = view[len(piece) :]
            if self._at % self.span.part == 0 or self._at == self.span.size:
                self.done.append(base64.b64encode(self._crc.to_bytes(4, "big")).decode())
                self._crc = 0


def read_all(
    path: Path,
    found: Inspection,
    spans: tuple[Span, ...],
    expected: str,
    on_step: OnStep,
    *,
    stop: threading.Event | None = None,
) -> tuple[Inspection, tuple[tuple[str, ...], ...]]:
    """The inspection with its digests checked, and the parts' checksums of each span. Interrupted when ``stop`` is set."""
    digests = Digests(found.archive.members, found.manifest)
    sums = [Checksums(span, []) for span in spans]
    with opened(path) as (fd, size):
        if size != found.size:
            raise changed(path)
        for offset, data in _chunks(fd):
            if stop is not None and stop.is_set():
                raise Interrupted("stopped verifying", why="a stop was asked for")
            view = memoryview(data)
            digests.feed(view)
            for one in sums:
                one.feed(offset, view)
            on_step(Step("verifying", offset + len(data), size))
    return with_digests(found, digests, expected), tuple(tuple(one.done) for one in sums)


def stamp(fd: int) -> tuple[int, ...]:
    """What differs once a file was written to or replaced: who it is, its size, when it was changed."""
    now = os.fstat(fd)
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns


def changed(path: Path) -> Conflict:
    return Conflict(
        f"cannot go on with {path.name}",
        why="the file changed while it was worked on",
        fix="run the same command again with a file that stays as it is",
        code="file-changed",
    )


def _chunks(fd: int) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while data := os.pread(fd, CHUNK, offset):
        yield offset, data
        offset += len(data)
