"""Files that only grow, a line at a time: each is on disk when it was appended, or the file is as it was before."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def append(file: Path, lines: bytes) -> None:
    """Append whole lines; the file is made 0600. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(file, flags, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            lines = (
                b"\n" + lines
            )  # a writer was killed in the middle of a line: it stays one by itself
        try:
            _write(descriptor, lines)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)
