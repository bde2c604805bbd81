"""Taking the audit away: every row up to the newest checkpoint, in segments of a day that each end at a checkpoint.

What is exported was judged first: a broken chain, or a checkpoint of a stranger, leaves nothing behind. A run goes on
where the last one ended, also one that was killed between a segment and its checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ostiary.doors.servers.audit.checkpoint import signer_of
from ostiary.doors.servers.audit.segment import lines
from ostiary.doors.servers.control.chain import Head, faults
from ostiary.doors.servers.wire.admin import AuditRow, Checkpoint
from ostiary.errors import ProofFailed
from ostiary.pki.ssh_key import PublicKey

LARGEST = 100_000  # rows in a segment, if checkpoints are as close
_DATE = 10  # characters of a time that are its day


class Source(Protocol):
    """Where rows and checkpoints come from, in order, some of those after a row at a time; nothing at the end."""

    project_id: str

    def rows(self, after: int) -> Sequence[AuditRow]: ...

    def checkpoints(self, after: int) -> Sequence[Checkpoint]: ...


class Target(Protocol):
    """Where they go. Raises only OstiaryErrors."""

    def end(self, project_id: str) -> Head:
        """The last row up to which everything is kept with its checkpoints; where the next segment begins."""
        ...

    def cuts(self, project_id: str) -> Collection[int]:
        """Rows that a segment must end with, because one that is kept already, in part perhaps, ends or begins there."""
        ...

    def keep(self, start: Head, rows: bytes, checkpoint: Checkpoint) -> str:
        """Keep the rows after ``start`` and then the checkpoint of the last; what it is called."""
        ...


@dataclass(frozen=True, slots=True)
class Exported:
    """``first`` to ``last`` were kept now, in ``segments``; ``last`` 0 when there was nothing new."""

    project_id: str
    first: int
    last: int
    segments: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return {
            "project_id": self.project_id,
            "first": self.first,
            "last": self.last,
            "segments": list(self.segments),
        }


def export(
    source: Source,
    target: Target,
    authorities: Collection[PublicKey],
    *,
    on_segment: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Take away what is new. ProofFailed, with nothing of it kept, for rows that are not what was signed."""
    start = target.end(source.project_id)
    first = start.number + 1
    rows = _Rows(source, start.number)
    segments = []
    for checkpoint in _cuts(source, start.number, target.cuts(source.project_id)):
        signer_of(checkpoint, authorities)
        taken = rows.until(checkpoint.number)
        head = Head(checkpoint.number, checkpoint.hash)
        if found := list(faults(taken, head, start=start)):
            raise ProofFailed(
                f"the audit of {source.project_id} is not whole",
                why="\n".join(found[:5]),
                fix="keep what was exported before, and compare with other copies",
                code="tampered",
            )
        segments.append(target.keep(start, lines(taken), checkpoint))
        on_segment(segments[-1])
        start = head
    return Exported(source.project_id, first, start.number if segments else 0, tuple(segments))


def day_of(checkpoint: Checkpoint) -> str:
    return checkpoint.time[:_DATE]


def _cuts(source: Source, after: int, known: Collection[int]) -> Iterator[Checkpoint]:
    """The checkpoints that segments end at: the last of each day, of each ``LARGEST`` rows, and of all."""
    start, pending = after, None
    for one in _checkpoints(source, after):
        if pending is not None and (
            day_of(one) != day_of(pending)
            or one.number - start > LARGEST
            or pending.number in known
        ):
            yield pending
            start = pending.number
        pending = one
    if pending is not None:
        yield pending


def _checkpoints(source: Source, after: int) -> Iterator[Checkpoint]:
    while found := source.checkpoints(after):
        yield from found
        after = found[-1].number


class _Rows:
    """Rows as they are needed, read ahead by at most one answer."""

    def __init__(self, source: Source, after: int) -> None:
        self._source = source
        self._after = after
        self._ahead: list[AuditRow] = []

    def until(self, number: int) -> list[AuditRow]:
        """Those up to row ``number``, as far as there are any."""
        taken: list[AuditRow] = []
        while True:
            ours = sum(1 for row in self._ahead if row.number <= number)
            taken += self._ahead[:ours]
            self._ahead = self._ahead[ours:]
            if self._ahead or self._after >= number:
                return taken
            self._ahead = list(self._source.rows(self._after))
            if not self._ahead:
                return taken
            self._after = self._ahead[-1].number
