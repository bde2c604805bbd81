"""Whose turn it is to write into one SQLite file, among the threads and processes of this machine.

SQLite lets in one writer at a time, and others ask again after sleeping for 1, 2, 5, 10 to 100 ms: two processes would
idle most of the time. Who has the turn finds SQLite's lock free. It is a courtesy: who does not get it for long asks
SQLite all the same, whose lock decides. Source: sqlite3_busy_timeout, flock(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

AGAIN = 0.0001  # seconds


class Turn:
    """``path`` is a file for this alone; ``longest`` are the seconds that one waits."""

    def __init__(self, path: Path, longest: float) -> None:
        self._path = path
        self._longest = longest
        self._threads = threading.Lock()
        self._file = -1

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        until = time.monotonic() + self._longest
        if not self._threads.acquire(timeout=self._longest):
            yield
            return
        try:
            taken = self._take(until)
            try:
                yield
            finally:
                if taken:
                    fcntl.flock(self._file, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _take(self, until: float) -> bool:
        if self._file < 0:
            with contextlib.suppress(OSError):  # SQLite has better words for what hinders it there
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while self._file >= 0:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if time.monotonic() > until:
                return False
            time.sleep(AGAIN)
        return False
