"""How far this process saw each project come, kept beside the database: an older one put in its place is noticed.

A backup that is restored would give numbers of rows, UIDs and GIDs a second time. The mark is a file of lines, each the
newest of one project; one line is appended after each commit, and the file is written anew when it has grown.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from ostiary.doors.servers.control.chain import START, Head
from ostiary.doors.servers.control.database import Database, heads, translated
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.tables import audit, chains, projects
from ostiary.doors.servers.control.writer import Writer
from ostiary.errors import Conflict, Unreachable

NAME = "high-water"
MOST_BYTES = 1 << 20
LEAP = 1_000_000  # generations that hosts are told to have missed, so that none is told twice


class Mark(NamedTuple):
    """The newest row of a project that was seen, and the numbers that come next; 0 where none was seen."""

    number: int = 0
    hash: str = START
    uid_next: int = 0
    gid_next: int = 0


class HighWater:
    """The marks of one process, which begins with those of all workers of the folder. Only its writer and its start use it."""

    def __init__(self, folder: Path, worker: int = 0) -> None:
        self._path = folder / (f"{NAME}.{worker}" if worker else NAME)
        self._lock = threading.Lock()
        self._marks: dict[str, Mark] = {}
        self._file, self._size = -1, 0
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._marks = _read(folder)
            self._write_all()
        except OSError as error:
            raise _unusable(self._path, error) from error

    def check(self, found: Mapping[str, Head], hash_of: Callable[[str, int], str]) -> None:
        """Conflict when a chain has fewer rows than it had, or another one where it was; one that is gone is at ``START``.

        ``hash_of`` is that of a row of a project; it is asked for only where somebody else has written too.
        """
        for project_id, head in found.items():
            mark = self._marks.get(project_id)
            if mark is None or head == mark[:2] or not mark.number:
                continue
            if head.number <= mark.number:
                raise older(project_id, f"its audit ends at row {head.number}", mark)
            if hash_of(project_id, mark.number) != mark.hash:
                raise older(project_id, f"row {mark.number} of the audit is another", mark)

    def keep(self, found: Mapping[str, Head], numbers: Mapping[str, tuple[int, int]]) -> None:
        """After a commit: remember how far it brought each project."""
        text = ""
        with self._lock:
            for project_id, head in found.items():
                made = Mark(*head, *numbers.get(project_id, ()))
                if before := self._marks.get(project_id):
                    made = _newer(made, before)
                self._marks[project_id] = made
                text += _line(project_id, made)
            try:
                self._size += os.write(self._file, text.encode())
                if self._size > MOST_BYTES:
                    self._write_all()
            except OSError as error:
                raise _unusable(self._path, error) from error

    def forget(self) -> None:
        """Take whatever the database holds for the truth; no worker runs yet."""
        self._marks = {}
        for one in _files(self._path.parent):
            one.unlink()
        self._write_all()

    @property
    def marks(self) -> Mapping[str, Mark]:
        return dict(self._marks)

    def close(self) -> None:
        os.close(self._file)

    def _write_all(self) -> None:
        fresh = self._path.with_name(f".{NAME}.{os.getpid()}")
        file = os.open(
            fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_APPEND, 0o600
        )
        text = "".join(_line(*one) for one in sorted(self._marks.items()))
        os.write(file, text.encode())
        os.fsync(file)
        fresh.replace(self._path)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size = file, len(text)


def verify(database: Database, kept: HighWater) -> None:
    """At the start: Conflict when the database is older than what was seen of it. Remembers how far it is."""
    what = "cannot compare the database with what was seen of it"
    with translated(what), database.reading() as connection:
        for project_id, mark in kept.marks.items():
            if why := _older(connection, project_id, mark):
                raise older(project_id, why, mark)
        found, numbers = _now(connection)
    kept.keep(found, numbers)


def accept(database: Database, writer: Writer, kept: HighWater) -> None:
    """Go on with an older database: no UID, GID or generation comes again, and the audit of each project says so."""
    marks = kept.marks
    kept.forget()
    with translated("cannot read the projects"), database.reading() as connection:
        held = [one for one in connection.scalars(select(projects.c.id)) if one in marks]

    def work(connection: Connection, ledger: Ledger) -> None:
        for project_id in held:
            mark = marks[project_id]
            row = connection.execute(select(projects).where(projects.c.id == project_id)).one()
            values = {
                "uid_next": max(row.uid_next, mark.uid_next),
                "gid_next": max(row.gid_next, mark.gid_next),
                "generation": row.generation + LEAP,
            }
            connection.execute(update(projects).where(projects.c.id == project_id).values(**values))
            body = {"ended_at": ledger.heads[project_id].number, "was_at": mark.number}
            ledger.append(project_id, "database.restored", {**body, "hash": mark.hash})

    if held:
        writer.write(held, work)


def older(project_id: str, why: str, mark: Mark) -> Conflict:
    return Conflict(
        "cannot use this database",
        why=f"it is older than what was seen of it: of project {project_id} {why}; "
        f"it was at row {mark.number}",
        fix="restore the newer one, or accept the loss and start with: --accept-older-database",
        code="older-database",
    )


def _older(connection: Connection, project_id: str, mark: Mark) -> str:
    row = connection.execute(select(projects).where(projects.c.id == project_id)).one_or_none()
    if row is None:
        return "there is nothing"
    if row.uid_next < mark.uid_next or row.gid_next < mark.gid_next:
        return f"the next UID is {row.uid_next}, which was given already"
    head = heads(connection, [project_id]).get(project_id, Head())
    if head.number < mark.number:
        return f"the audit ends at row {head.number}"
    query = select(audit.c.hash).where(
        audit.c.project_id == project_id, audit.c.number == mark.number
    )
    if mark.number and connection.scalar(query) != mark.hash:
        return f"row {mark.number} of the audit is another"
    return ""


def _now(connection: Connection) -> tuple[dict[str, Head], dict[str, tuple[int, int]]]:
    found = {
        row.project_id: Head(row.number, row.hash) for row in connection.execute(select(chains))
    }
    query = select(projects.c.id, projects.c.uid_next, projects.c.gid_next)
    return found, {row.id: (row.uid_next, row.gid_next) for row in connection.execute(query)}


def _line(project_id: str, mark: Mark) -> str:
    """JSON: ids and hashes have nothing in them that it would write otherwise."""
    return f'["{project_id}", {mark.number}, "{mark.hash}", {mark.uid_next}, {mark.gid_next}]\n'


def _files(folder: Path) -> Iterable[Path]:
    return (one for one in sorted(folder.glob(f"{NAME}*")) if one.is_file())


def _read(folder: Path) -> dict[str, Mark]:
    """What any of the workers saw; the very last line of a file may have been cut."""
    marks: dict[str, Mark] = {}
    for path in _files(folder):
        for line in path.read_text(errors="replace").splitlines():
            try:
                project_id, *values = json.loads(line)
                marks[project_id] = _newer(marks.get(project_id, Mark()), Mark(*values))
            except (ValueError, TypeError):
                continue
    return marks


def _newer(one: Mark, other: Mark) -> Mark:
    last = one if one.number >= other.number else other
    uid, gid = max(one.uid_next, other.uid_next), max(one.gid_next, other.gid_next)
    return Mark(last.number, last.hash, uid, gid)


def _unusable(path: Path, error: OSError) -> Unreachable:
    return Unreachable(
        f"cannot use the file {path}",
        why=str(error.strerror).lower(),
        fix="free space, or give --state-dir a folder of its own",
        code="state-dir",
        maybe_done=True,
    )
