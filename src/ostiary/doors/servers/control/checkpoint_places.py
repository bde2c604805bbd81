"""Second places of checkpoints, out of reach of who can write to the database: a folder, or a store that locks."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ostiary.doors.servers.audit import line_file
from ostiary.doors.servers.audit.checkpoint import line, read
from ostiary.doors.servers.audit.targets import Store
from ostiary.doors.servers.wire.admin import Checkpoint
from ostiary.doors.servers.wire.message import InvalidMessage, decode
from ostiary.errors import OstiaryError, ProofFailed


class Keeps(Protocol):
    """A second place. Keeping one twice is fine. Raises only OstiaryErrors."""

    def keep(self, checkpoint: Checkpoint) -> None: ...

    def last(self, project_id: str) -> Checkpoint | None: ...


class InFolder:
    """A file for each project, one checkpoint a line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, checkpoint: Checkpoint) -> None:
        file = self._file(checkpoint.project_id)
        try:
            line_file.append(file, line(checkpoint))
        except OSError as error:
            raise OstiaryError(
                f"cannot keep checkpoint {checkpoint.number} in {file}",
                why=str(error.strerror).lower(),
                fix="free space, or see --checkpoint-dir",
            ) from error

    def last(self, project_id: str) -> Checkpoint | None:
        file = self._file(project_id)
        found = list(read(file)) if file.exists() else []
        return max(found, key=lambda one: one.number, default=None)

    def _file(self, project_id: str) -> Path:
        return self._folder / f"{project_id}.checkpoints"


class InStore:
    """An object for each: ``PROJECT_ID/checkpoints/000000000123``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, checkpoint: Checkpoint) -> None:
        name = f"{self._prefix(checkpoint.project_id)}{checkpoint.number:012}"
        if not self._store.put_new(name, line(checkpoint)):
            kept = self._store.get(name)
            if kept is None or self._read(name, kept.data).hash != checkpoint.hash:
                raise ProofFailed(
                    f"cannot keep checkpoint {checkpoint.number} of {checkpoint.project_id}",
                    why=f"{name} tells of another row of that number",
                    fix="keep the database as it is, and compare with exports",
                    code="tampered",
                )

    def last(self, project_id: str) -> Checkpoint | None:
        names = self._store.names(self._prefix(project_id))
        kept = self._store.get(names[-1]) if names else None
        return self._read(names[-1], kept.data) if kept else None

    def _prefix(self, project_id: str) -> str:
        return f"{project_id}/checkpoints/"

    def _read(self, name: str, data: bytes) -> Checkpoint:
        try:
            return decode(Checkpoint, data)
        except InvalidMessage as wrong:
            raise ProofFailed(
                f"cannot read {name}", why=f"it is no checkpoint: {wrong}", code="tampered"
            ) from wrong
