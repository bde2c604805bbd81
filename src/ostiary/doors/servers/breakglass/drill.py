"""The drill: break the glass for a named server and account, enter, and see that the audit tells of it; with times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ostiary.doors.servers.audit.control_source import ControlSource
from ostiary.doors.servers.audit.reconcile import Books
from ostiary.doors.servers.breakglass import slips
from ostiary.doors.servers.breakglass.certificate import Wanted
from ostiary.doors.servers.breakglass.entering import Place, enter
from ostiary.doors.servers.breakglass.shares import Share
from ostiary.doors.servers.breakglass.sign import Signed, sign
from ostiary.doors.servers.breakglass.submit import submit_all
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.control.chain import Linked, faults
from ostiary.errors import ProofFailed
from ostiary.pki.ssh_key import PublicKey


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, in how many seconds."""

    what: str
    seconds: float

    def as_json(self) -> dict[str, object]:
        return {"step": self.what, "seconds": round(self.seconds, 3)}


@dataclass(frozen=True, slots=True)
class Exercise:
    """Who enters where: ``way`` ends at the server, before it are its bastions; ``hosts`` sign host certificates."""

    login: str
    way: Sequence[Place]
    hosts: Sequence[PublicKey]
    reason: str
    slips_file: Path


def enter_offline(
    shares: Sequence[Share], exercise: Exercise, on_step: Callable[[Step], None]
) -> list[Signed]:
    """The part that needs nobody: sign for each server on the way, and enter. ProofFailed when not as the login."""
    began = time.monotonic()
    signed = [
        sign(shares, _wanted(exercise, place), exercise.slips_file, int(time.time()))
        for place in exercise.way
    ]
    count = f"{len(signed)} certificate{'s' * (len(signed) > 1)}"
    on_step(Step(f"{count} signed by {len(shares)} shares", time.monotonic() - began))
    began = time.monotonic()
    found = enter(signed, exercise.login, exercise.way, exercise.hosts)
    server = exercise.way[-1].server_id
    if found != exercise.login:
        raise ProofFailed(
            f"break-glass entered {server} as {found[:40]!r}, not as {exercise.login}",
            fix="see the principals files there",
            code="not-entered",
        )
    on_step(Step(f"entered {server} as {exercise.login}", time.monotonic() - began))
    return signed


def tell(
    control: Control,
    project: str,
    signed: Sequence[Signed],
    exercise: Exercise,
    on_step: Callable[[Step], None],
) -> None:
    """The part afterwards: the slips of these certificates into the audit, which must be whole and reconcile."""
    began = time.monotonic()
    ours = {str(one.certificate.serial) for one in signed}
    kept = slips.read(exercise.slips_file)
    submit_all(control, project, kept[-len(signed) :])
    on_step(Step(f"{len(signed)} submitted to the audit of {project}", time.monotonic() - began))
    began = time.monotonic()
    books = Books()
    if broken := next(faults(_into(books, ControlSource(control, project))), ""):
        raise ProofFailed(
            f"the audit of {project} is not whole",
            why=broken,
            fix=f"keep it as it is: ostiary audit export --project {project} --to FILE.jsonl",
        )
    missing = sorted(ours - {serial for serial, one in books.signed.items() if one.glass})
    wrong = [one.text for one in books.reconciled().findings if one.serial in ours]
    if missing or wrong:
        raise ProofFailed(
            f"the audit of {project} does not tell of this drill",
            why="\n".join([*(f"serial {one} is not in it" for one in missing), *wrong]),
            fix=f"run: ostiary audit reconcile --project {project}",
            code="audit",
        )
    on_step(Step("the audit is whole and reconciles", time.monotonic() - began))


def _wanted(exercise: Exercise, place: Place) -> Wanted:
    hop = place is not exercise.way[-1]
    return Wanted(exercise.login, place.server_id, exercise.reason, hop=hop)


def _into(books: Books, source: ControlSource) -> Iterator[Linked]:
    after = 0
    while rows := source.rows(after):
        for row in rows:
            books.take(row)
            yield row
        after = rows[-1].number
