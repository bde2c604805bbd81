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
from pathlib import Path

AGAIN = 0.0001  # seconds
_HOW = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Turn:
    """``path`` is a file for this alone; ``longest`` are the seconds that one waits.

    Who has kept the turn for so long, stopped perhaps, is not waited for again until it has let go.
    """

    def __init__(self, path: Path, longest: float) -> None:
        self._path = path
        self._longest = longest
        self._threads = threading.Lock()
        self._file = -1
        self._is_stuck = False
        self._is_locked = False  # the file, by who has the threads' turn

    def held(self) -> Held:
        return Held(self)

    def take(self) -> bool:
        """Whether it is to be left again: false where not even the threads of this process gave it."""
        until = time.monotonic() + self._longest
        if not self._threads.acquire(timeout=self._longest):
            return False
        try:
            self._is_locked = self._lock(until)
        except BaseException:
            self._threads.release()
            raise
        return True

    def leave(self) -> None:
        try:
            if self._is_locked:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def close(self) -> None:
        """When whoever has it has left it; one that hangs is not waited for for long."""
        is_free = self._threads.acquire(timeout=self._longest)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if is_free:
            self._threads.release()

    def _lock(self, until: float) -> bool:
        if self._file < 0:
            with contextlib.suppress(OSError):  # SQLite has better words for what hinders it there
                self._file = os.open(self._path, _HOW, 0o600)
        while self._file >= 0:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._is_stuck or time.monotonic() > until:
                    self._is_stuck = True
                    return False
                time.sleep(AGAIN)
            except OSError:  # a file system that has no such locks
                return False
            else:
                self._is_stuck = False
                return True
        return False


class Held:
    """The block in which one has the turn, or does without. No generator: it is entered for every certificate."""

    __slots__ = ("_is_taken", "_turn")

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._is_taken = False

    def __enter__(self) -> None:
        self._is_taken = self._turn.take()

    def __exit__(self, *_: object) -> None:
        if self._is_taken:
            self._turn.leave()
