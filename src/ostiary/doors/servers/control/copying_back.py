"""SQLite's write-ahead log is copied back into the database by a thread of its own.

Left to itself SQLite has it done by whoever commits the thousandth page, and everybody who would write waits for that, some
milliseconds. A passive checkpoint lets readers and writers go on; only for its last pages does the thread take their turn, so
that the next writer begins the log anew. Source: SQLite, "Write-Ahead Logging", 2.3 and 3.1; sqlite3_wal_checkpoint_v2.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading

from ostiary.doors.servers.control.turn import Turn

COMMITS = 128  # after which it is done
MOST_PAGES = 10_000  # of the log, 40 MB: then whoever commits does it after all
_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"


class CopyingBack:
    """Of one file, in one process. What fails is left to the next time, and in the end to SQLite itself."""

    def __init__(self, file: str, turn: Turn) -> None:
        self._file = file
        self._turn = turn
        self._commits = 0
        self._due = threading.Event()
        self._ended = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def committed(self) -> None:
        """To be told of each commit."""
        self._commits += 1
        if self._commits % COMMITS == 0:
            self._start()
            self._due.set()

    def close(self) -> None:
        self._ended = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._ended:
                self._thread = threading.Thread(target=self._run, name="copying back", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            if self._ended:
                return
            with contextlib.suppress(sqlite3.Error):
                self._copy()

    def _copy(self) -> None:
        with contextlib.closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            connection.execute(_CHECKPOINT).fetchall()
            with self._turn.held():
                connection.execute(_CHECKPOINT).fetchall()
