"""Where exports go: one file that grows, or a store with a file for each segment and its checkpoint beside it.

    PROJECT_ID/2026-11-27/000000000001-000000000123.jsonl
    PROJECT_ID/2026-11-27/000000000001-000000000123.checkpoint

In a store nothing is ever written twice, so one that locks its objects (``aws.locked_store``) serves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from ostiary.doors.servers.audit import checkpoint as checkpoints
from ostiary.doors.servers.audit import line_file, segment
from ostiary.doors.servers.audit.export import day_of
from ostiary.doors.servers.audit.segment import Segment
from ostiary.doors.servers.control.chain import START_HEAD, Head
from ostiary.doors.servers.wire.admin import Checkpoint
from ostiary.doors.servers.wire.message import InvalidMessage, decode
from ostiary.errors import Conflict, OstiaryError
from ostiary.plan.runs import Stored

_NAME = re.compile(r"(?P<stem>.+/(?P<first>\d{12})-(?P<last>\d{12}))\.(?P<kind>jsonl|checkpoint)")


class Store(Protocol):
    """As ``plan.runs.RunStore``, as far as it is needed."""

    def put_new(self, name: str, data: bytes) -> bool: ...

    def get(self, name: str) -> Stored | None: ...

    def names(self, prefix: str) -> tuple[str, ...]: ...


class InStore:
    """Segments in a store, each object written once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def end(self, project_id: str) -> Head:
        """Only segments of which both parts are there count, and only up to the first gap: it is filled again."""
        signed = set(self._stems(project_id, "checkpoint"))
        both = (one for one in self._stems(project_id, "jsonl") if one in signed)
        whole = {first: (stem, last) for stem, first, last in both}
        stem, last = "", 0
        while (following := whole.get(last + 1)) is not None:
            stem, last = following
        if not stem:
            return START_HEAD
        name = f"{stem}.checkpoint"
        kept = self._store.get(name)
        try:
            found = decode(Checkpoint, kept.data if kept else b"")
        except InvalidMessage as wrong:
            raise Conflict(
                f"cannot go on after {name}",
                why=f"it is no checkpoint: {wrong}",
                fix="look who wrote there, and export to another place with --to",
            ) from wrong
        return Head(found.number, found.hash)

    def cuts(self, project_id: str) -> Collection[int]:
        stems = (*self._stems(project_id, "jsonl"), *self._stems(project_id, "checkpoint"))
        return {number for _, first, last in stems for number in (first - 1, last)}

    def keep(self, start: Head, rows: bytes, checkpoint: Checkpoint) -> str:
        numbers = f"{start.number + 1:012}-{checkpoint.number:012}"
        stem = f"{checkpoint.project_id}/{day_of(checkpoint)}/{numbers}"
        self._put(f"{stem}.jsonl", segment.beginning(checkpoint.project_id, start) + rows)
        self._put(f"{stem}.checkpoint", checkpoints.line(checkpoint))
        return f"{stem}.jsonl"

    def _put(self, name: str, data: bytes) -> None:
        if self._store.put_new(name, data):
            return
        kept = self._store.get(name)
        if kept is None or kept.data != data:
            raise Conflict(
                f"cannot keep {name}",
                why="something else is kept under that name",
                fix="export to another prefix, and find out who wrote there",
            )

    def _stems(self, project_id: str, kind: str) -> list[tuple[str, int, int]]:
        found = (_NAME.fullmatch(name) for name in self._store.names(f"{project_id}/"))
        return [
            (one["stem"], int(one["first"]), int(one["last"]))
            for one in found
            if one and one["kind"] == kind
        ]


class InFile:
    """All rows in one file, their checkpoints in ``FILE.checkpoints``."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._beside = file.with_name(f"{file.name}.checkpoints")

    def end(self, project_id: str) -> Head:
        """What follows the last checkpoint was not finished by a run that was killed: it is taken off here."""
        if not self._file.exists() or not self._file.stat().st_size:
            return START_HEAD
        kept = Segment(self._file)
        if kept.project_id != project_id:
            raise Conflict(
                f"cannot export {project_id} to {self._file}",
                why=f"it holds rows of {kept.project_id}",
                fix="name another file",
            )
        signed = list(checkpoints.read(self._beside)) if self._beside.exists() else []
        last = max(signed, key=lambda one: one.number, default=None)
        head = Head(last.number, last.hash) if last else kept.start
        size = kept.size_until(head)
        if size is None:
            raise Conflict(
                f"cannot go on in {self._file}",
                why=f"row {head.number} of it is not the one that {self._beside.name} tells of",
                fix=f"run: ostiary audit verify {self._file} --checkpoint {self._beside}",
            )
        os.truncate(self._file, size)
        return head

    def cuts(self, project_id: str) -> Collection[int]:  # noqa: ARG002 - nothing is locked in a file
        return ()

    def keep(self, start: Head, rows: bytes, checkpoint: Checkpoint) -> str:
        if not self._file.exists() or not self._file.stat().st_size:
            rows = segment.beginning(checkpoint.project_id, start) + rows
        try:
            line_file.append(self._file, rows)
            line_file.append(self._beside, checkpoints.line(checkpoint))
        except OSError as error:
            raise OstiaryError(
                f"cannot write to {self._file}",
                why=str(error.strerror).lower(),
                fix="free space, then run again: it goes on where it was",
            ) from error
        return str(self._file)
