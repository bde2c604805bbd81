"""Whether exported audit files are whole: no row changed, removed, swapped or added, and no tail cut.

Needs nothing but the files. That a tail is cut, or that all was written anew from some row on, shows only against
checkpoints that were kept elsewhere; that those are the project's, only against its host authority.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ostiary.doors.servers.audit.checkpoint import signer_of
from ostiary.doors.servers.audit.segment import Line, Segment
from ostiary.doors.servers.control.chain import Head, faults
from ostiary.doors.servers.wire.admin import Checkpoint
from ostiary.errors import ProofFailed, UsageError
from ostiary.pki.ssh_key import PublicKey

MOST_FAULTS = 20  # told one by one


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found. ``first`` is the number of the first row that should be there, ``covered`` the last that a
    checkpoint stands for (0: none), ``signers`` the fingerprints of who signed the checkpoints."""

    project_id: str
    first: int
    last: int
    rows: int
    hash: str
    covered: int
    signers: tuple[str, ...]
    trusted: bool
    faults: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return not self.faults

    def as_json(self) -> dict[str, object]:
        return {
            "project_id": self.project_id,
            "whole": self.whole,
            "first": self.first,
            "last": self.last,
            "rows": self.rows,
            "hash": self.hash,
            "covered": self.covered,
            "signers": list(self.signers),
            "trusted": self.trusted,
            "faults": list(self.faults),
        }


def verify(
    paths: Sequence[Path],
    checkpoints: Iterable[Checkpoint] = (),
    authorities: Sequence[PublicKey] = (),
) -> Verified:
    """Judge the files of one project, in whatever order they are named. UsageError for what is no audit."""
    segments = sorted((Segment(path) for path in paths), key=lambda one: one.start.number)
    projects = sorted({one.project_id for one in segments})
    if len(projects) != 1:
        raise UsageError(
            "cannot verify these files together",
            why=f"they are of projects {', '.join(projects) or 'none'}",
            fix="name the files of one project",
        )
    found: list[str] = []
    heads, signers = _signed(projects[0], checkpoints, authorities, found)
    start = segments[0].start
    walked = _Walked(start)
    rows = walked.over(itertools.chain.from_iterable(one.rows() for one in segments), projects[0])
    found += itertools.islice(faults(rows, *heads, start=start), MOST_FAULTS)
    for _ in rows:  # the rest, where the faults were too many to tell
        pass
    for problem in itertools.chain(walked.problems, *(one.problems for one in segments)):
        found.append(problem)
    reached = [n.number for n in heads if start.number <= n.number <= walked.head.number]
    return Verified(
        project_id=projects[0],
        first=start.number + 1,
        last=walked.head.number,
        rows=walked.rows,
        hash=walked.head.hash,
        covered=max(reached, default=0),
        signers=tuple(sorted({key.fingerprint for key in signers})),
        trusted=bool(authorities and reached),
        faults=tuple(found[:MOST_FAULTS]),
    )


class _Walked:
    """What went by: how many rows, and the last of them."""

    def __init__(self, start: Head) -> None:
        self.head = start
        self.rows = 0
        self.problems: list[str] = []

    def over(self, rows: Iterable[Line], project_id: str) -> Iterator[Line]:
        row = None
        for row in rows:
            self.rows += 1
            if row.project_id != project_id and len(self.problems) < MOST_FAULTS:
                self.problems.append(f"row {row.number} is of another project")
            yield row
            self.head = Head(row.number, row.hash)


def _signed(
    project_id: str,
    checkpoints: Iterable[Checkpoint],
    authorities: Sequence[PublicKey],
    found: list[str],
) -> tuple[list[Head], list[PublicKey]]:
    """The heads that good checkpoints of the project name, and who signed them; what is wrong goes into ``found``."""
    signers: list[PublicKey] = []
    hashes: dict[int, str] = {}
    for one in checkpoints:
        if one.project_id != project_id:
            found.append(f"checkpoint {one.number} is of another project")
            continue
        try:
            signers.append(signer_of(one, authorities))
        except ProofFailed as bad:
            found.append(f"checkpoint {one.number}: {bad.why}")
            continue
        if hashes.setdefault(one.number, one.hash) != one.hash:
            found.append(f"checkpoint {one.number} was signed for two chains")
    return [Head(number, digest) for number, digest in hashes.items()], signers
