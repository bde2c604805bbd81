"""A file of audit rows: one line that says what comes before them, then one JSON object a row.

    {"v": 1, "audit": PROJECT_ID, "after": N, "hash": HEX}
    {"project_id": …, "number": N+1, "time": …, "event": …, "body": TEXT, "hash": HEX}

``body`` is the row's JSON as a text, because the hash is over that text. The hash of the first line cannot be forged
where a checkpoint covers the last row: it is hashed into every row after it.

A row has one spelling, to the byte. Hashes are over what a line is read as, and readers differ: of a member that stands
there twice some take the first and some the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from ostiary.doors.servers.control.chain import Head
from ostiary.doors.servers.wire.admin import AuditRow
from ostiary.errors import NotFound, OstiaryError, UsageError

VERSION = 1
DIGEST = 32  # bytes of SHA-256
LONGEST = 8 * 1024 * 1024  # bytes of a line


class Line(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A row as it stands in a file; satisfies ``chain.Linked``."""

    project_id: str
    number: int
    time: str
    event: str
    body: str
    hash: str


class Beginning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a file."""

    v: int
    audit: str
    after: int
    hash: str


_LINE = msgspec.json.Decoder(Line)
_BEGINNING = msgspec.json.Decoder(Beginning)
_ENCODER = msgspec.json.Encoder()


def beginning(project_id: str, after: Head) -> bytes:
    return _written(Beginning(VERSION, project_id, after.number, after.hash))


def lines(rows: Iterable[AuditRow]) -> bytes:
    return b"".join(_written(row) for row in rows)


def _written(one: AuditRow | Line | Beginning) -> bytes:
    """The one way to write it."""
    return _ENCODER.encode(one) + b"\n"


class Segment:
    """One file. ``problems`` are lines that are no rows, or not as a row is written; known once ``rows`` was read to its end."""

    def __init__(self, path: Path) -> None:
        """UsageError when the file is none of an audit, NotFound when it is not there."""
        self.path = path
        self.problems: list[str] = []
        with _reading(path), path.open("rb") as file:
            first = file.readline(LONGEST)
        found = _begun(first)
        if found is None:
            raise UsageError(
                f"cannot verify {path}",
                why="its first line is not that of an exported audit",
                fix="export it with: ostiary audit export --project NAME --to FILE.jsonl",
            )
        self.project_id = found.audit
        self.start = Head(found.after, found.hash)

    def rows(self) -> Iterator[Line]:
        """The rows, one after the other; a line that is none is left out and told in ``problems``."""
        self.problems.clear()
        decode = _LINE.decode
        with _reading(self.path), self.path.open("rb") as file:
            file.readline(LONGEST)
            for number, text in enumerate(iter(lambda: file.readline(LONGEST), b""), 2):
                try:
                    row = decode(text)
                except ValueError:
                    self.problems.append(f"line {number} of {self.path.name} is no row")
                    continue
                if not text.endswith(b"\n"):
                    self.problems.append(f"line {number} of {self.path.name} was cut off")
                elif text != _written(row):
                    self.problems.append(
                        f"line {number} of {self.path.name} is not as row {row.number} is written:"
                        " what it says depends on who reads it"
                    )
                yield row

    def size_until(self, head: Head) -> int | None:
        """How many bytes of the file end with row ``head``; None where that is not the row of that number."""
        with _reading(self.path), self.path.open("rb") as file:
            size = len(file.readline(LONGEST))
            if head == self.start:
                return size
            for text in iter(lambda: file.readline(LONGEST), b""):
                size += len(text)
                try:
                    row = _LINE.decode(text)
                except ValueError:
                    return None
                if row.number == head.number:
                    return size if row.hash == head.hash else None
        return None


def files_in(places: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Files of rows and files of checkpoints: those named, and all below the folders named. NotFound for an empty folder."""
    rows: list[Path] = []
    checkpoints: list[Path] = []
    for place in places:
        if not place.is_dir():
            rows.append(place)
            continue
        found = sorted(place.rglob("*.jsonl"))
        if not found:
            raise NotFound(
                f"cannot find an audit in {place}",
                why="no file in it ends in .jsonl",
                fix="name what this wrote: ostiary audit export --project NAME --to FOLDER",
            )
        rows += found
        checkpoints += sorted(place.rglob("*.checkpoint"))
    return rows, checkpoints


def _begun(line: bytes) -> Beginning | None:
    try:
        found = _BEGINNING.decode(line)
        size = len(bytes.fromhex(found.hash))
    except ValueError:  # msgspec's errors are ValueErrors too
        return None
    is_ours = found.v == VERSION and found.after >= 0 and size == DIGEST and _written(found) == line
    return found if is_ours else None


class _reading:  # noqa: N801 - a context manager, used as a function
    """Turns what the disk says into our errors."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, FileNotFoundError):
            fix = "name files of: ostiary audit export --project NAME --to FILE.jsonl"
            raise NotFound(
                f"cannot read {self._path}", why="there is no such file", fix=fix
            ) from error
        if isinstance(error, OSError):
            fix = "see that it is a file and that you may read it"
            why = str(error.strerror).lower()
            raise OstiaryError(f"cannot read {self._path}", why=why, fix=fix) from error
