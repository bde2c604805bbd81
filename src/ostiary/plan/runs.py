"""Where runs are kept: journal, lease and before-images, in a folder or in an object store.

A store holds small named objects and append-only logs. Names are slash-separated, ASCII, without ``.`` at
the start of a part; everything of one estate lies under ``<estate>/``. ``ostiary.aws`` has the same over
S3; both pass ``tests/contract/run_store_suite.py``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ostiary.errors import OstiaryError, UsageError

_NAME = re.compile(r"[A-Za-z0-9_#=+@-][A-Za-z0-9_#=+@.-]*(/[A-Za-z0-9_#=+@-][A-Za-z0-9_#=+@.-]*)*")


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as read. ``version`` is opaque (an ETag); it is what ``swap`` expects."""

    data: bytes = field(repr=False)
    version: str


class Log(Protocol):
    """Bytes that only grow. ``append`` returns when the bytes are durable; after it failed once, it always fails."""

    def append(self, data: bytes) -> None: ...

    def read(self) -> bytes:
        """Everything appended so far, in order; b"" for a log that does not exist."""
        ...

    def close(self) -> None: ...


class RunStore(Protocol):
    """Raises only ``OstiaryError``s: ``Denied``, ``Unreachable``, ``Throttled``, or the base for a full disk.

    Every write is atomic and durable when it returns; several processes on several machines may use one store.
    """

    def put_new(self, name: str, data: bytes) -> bool:
        """Create; False if ``name`` exists (S3: ``If-None-Match: *``)."""
        ...

    def put(self, name: str, data: bytes) -> None: ...

    def get(self, name: str) -> Stored | None: ...

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of the objects that start with ``prefix``, sorted; keep logs under a prefix of their own."""
        ...

    def delete(self, name: str) -> None:
        """Absent is fine."""
        ...

    def swap(self, name: str, expected: str | None, data: bytes) -> str | None:
        """Write if the version is still ``expected`` (None: absent); the new version, or None if it was not."""
        ...

    def log(self, name: str) -> Log:
        """Open a log for appending and reading; made by the first ``append``."""
        ...


def checked_name(name: str) -> str:
    """``name`` itself; UsageError if a store could not keep it."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"cannot use {name!r} as a name in the run store")
    return name


class SegmentLog:
    """A log over a store that cannot append: each ``append`` is one new object ``<name>/00000001``.

    Segments are found one after another, so that ``names`` need not list them. One process appends to a log.
    """

    def __init__(self, store: RunStore, name: str) -> None:
        self._store = store
        self._name = checked_name(name)
        self._next: int | None = None

    def append(self, data: bytes) -> None:
        if self._next is None:
            self._next = sum(1 for _ in self._segments()) + 1
        name = self._segment(self._next)
        if not self._store.put_new(name, data):
            kept = self._store.get(name)
            if kept is None or kept.data != data:  # equal: our own put whose answer was lost
                raise OstiaryError(
                    f"cannot append to {self._name}", why=f"{name} was written by another process"
                )
        self._next += 1

    def read(self) -> bytes:
        return b"".join(self._segments())

    def close(self) -> None:
        pass

    def _segments(self) -> Iterator[bytes]:
        number = 1
        while (kept := self._store.get(self._segment(number))) is not None:
            yield kept.data
            number += 1

    def _segment(self, number: int) -> str:
        return f"{self._name}/{number:08}"


class FolderStore:
    """A store in a local folder (0700, files 0600): link and rename for atomicity, fsync, flock for ``swap``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with _disk_errors("open", str(folder)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put_new(self, name: str, data: bytes) -> bool:
        path = self._path(name)
        with _disk_errors("write", name), _temporary(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            _sync_folder(path.parent)
        return True

    def put(self, name: str, data: bytes) -> None:
        path = self._path(name)
        with _disk_errors("write", name), _temporary(path, data) as temporary:
            temporary.replace(path)
            _sync_folder(path.parent)

    def get(self, name: str) -> Stored | None:
        with _disk_errors("read", name):
            try:
                data = self._path(name).read_bytes()
            except FileNotFoundError:
                return None
        return Stored(data, _version(data))

    def names(self, prefix: str) -> tuple[str, ...]:
        with _disk_errors("list", prefix):
            paths = [
                path.relative_to(self.folder).as_posix()
                for path in self.folder.rglob("*")
                if path.is_file() and not path.name.startswith(".")
            ]
        return tuple(sorted(name for name in paths if name.startswith(prefix)))

    def delete(self, name: str) -> None:
        with _disk_errors("delete", name):
            self._path(name).unlink(missing_ok=True)

    def swap(self, name: str, expected: str | None, data: bytes) -> str | None:
        with _disk_errors("lock", name), (self.folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # let go of when the file is closed, also by a kill
            kept = self.get(name)
            if (kept.version if kept else None) != expected:
                return None
            self.put(name, data)
        return _version(data)

    def log(self, name: str) -> Log:
        return FileLog(self._path(name))

    def _path(self, name: str) -> Path:
        return self.folder / checked_name(name)


class FileLog:
    """A log as one file: each ``append`` is one write and one fdatasync."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._broken = False

    def append(self, data: bytes) -> None:
        if self._broken:  # after a failed fdatasync nobody knows what the disk holds
            raise OstiaryError(f"cannot append to {self._path.name}", why="an earlier write failed")
        self._broken = True
        with _disk_errors("append to", self._path.name):
            if self._file is None:
                self._file = _open_log(self._path)
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            os.fdatasync(self._file)
        self._broken = False

    def read(self) -> bytes:
        with _disk_errors("read", self._path.name):
            try:
                return self._path.read_bytes()
            except FileNotFoundError:
                return b""

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _open_log(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _sync_folder(path.parent)
    return file


@contextlib.contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    """A synced file with ``data`` beside ``path``, gone afterwards unless it was renamed."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def _disk_errors(verb: str, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OstiaryError(
            f"cannot {verb} {name} in the run store",
            why=f"{error.strerror or error} ({type(error).__name__})",
            fix="free space or repair the folder, then run again: what is done stays done",
        ) from error
