"""Login events that the session hook left, on their way to the control plane.

The hook appends to ``spool`` under a shared lock; here the file is moved aside, read under an exclusive one, and removed
when it was shipped and nobody has added to it. What was sent twice (an answer was lost) is the same event to the byte.
Behind the last of them goes how many more there were that found no room (``untold.py``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ostiary.doors.servers.agent import untold
from ostiary.doors.servers.agent.files import Paths
from ostiary.doors.servers.wire.host import Login

MOST = 2000  # events in one report
_FIELDS = 5
_LAST = 64  # bytes, of which a serial and a time are part


class Spool:
    """Remembers how far the file that is being shipped was shipped, and its last words up to there: somebody's ``once`` may
    ship it to its end meanwhile, and begin another.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths, self._new, self._sending = paths, paths.spool, paths.sending
        self._offset, self._last = 0, b""
        self._untold = 0  # how many the last report tells of
        self._uncrossed = 0  # were told, while the disk would not have them crossed off

    def take(self) -> tuple[tuple[Login, ...], int]:
        """The next events, and what to give to ``shipped`` once they are."""
        events, offset = self._events()
        with contextlib.suppress(OSError):
            self._cross_off()
        number, since = untold.read(self._paths)
        self._untold = max(0, number - self._uncrossed) if len(events) < MOST else 0
        more = (untold.event(self._untold, since),) if self._untold else ()
        return (*events, *more), offset

    def _events(self) -> tuple[tuple[Login, ...], int]:
        if not self._sending.exists():
            try:
                self._new.rename(self._sending)
            except FileNotFoundError:
                return (), 0
        with _locked(self._sending) as file:
            if self._words_before(file, self._offset) != self._last:
                self._offset, self._last = 0, b""
            file_end = os.fstat(file).st_size
            os.lseek(file, self._offset, os.SEEK_SET)
            text = os.read(file, min(file_end - self._offset, MOST * 200))
        lines = text.split(b"\n")[:-1][:MOST]
        length = sum(len(line) + 1 for line in lines)
        if lines == [] and text:
            length = len(text)  # a line that was never ended
        return tuple(filter(None, map(_event, lines))), self._offset + length

    def shipped(self, offset: int) -> None:
        """They were. OSError from a disk that fails: this object remembers what it does not tell again."""
        self._uncrossed, self._untold = self._uncrossed + self._untold, 0
        with contextlib.suppress(FileNotFoundError), _locked(self._sending) as file:
            self._offset, self._last = offset, self._words_before(file, offset)
            if os.fstat(file).st_size <= offset:
                self._sending.unlink()
        self._cross_off()

    def _cross_off(self) -> None:
        if self._uncrossed:
            untold.told(self._paths, self._uncrossed)
            self._uncrossed = 0

    def _words_before(self, file: int, offset: int) -> bytes:
        first = max(0, offset - _LAST)
        return os.pread(file, offset - first, first)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _event(line: bytes) -> Login | None:
    words = line.decode("utf-8", "replace").split("\t")
    if len(words) != _FIELDS or not words[0].isdigit():
        return None
    with contextlib.suppress(ValueError):
        return Login(words[0], words[1][:64], float(words[2]), words[3][:255], words[4][:16])
    return None
