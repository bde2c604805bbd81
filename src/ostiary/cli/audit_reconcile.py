"""``ostiary audit reconcile``: what hosts let in, and what KMS signed, against what the audit stands for."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import json_option, not_empty
from ostiary.cli.servers_control import open_control
from ostiary.errors import DriftFound, ProofFailed, UsageError

if TYPE_CHECKING:
    from ostiary.doors.servers.audit.reconcile import Books, Reconciled
    from ostiary.doors.servers.control.chain import Linked

MOST = 50  # findings told as lines; --json has all of them


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE...]", type=click.Path(path_type=Path))
@click.option(
    "--project",
    default="",
    metavar="NAME",
    callback=not_empty,
    help="Read the audit of this project.",
)
@click.option(
    "--kms-events",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="CloudTrail's events of kms:Sign, to be counted against certificates; repeatable.",
)
@json_option
def reconcile(
    *, files: tuple[Path, ...], project: str, kms_events: tuple[Path, ...], as_json: bool
) -> None:
    """Find logins that no certificate of the audit stands for, in exported FILE... or a project.

    A certificate accepted twice, elsewhere, as somebody else or out of its time; break-glass without a slip.
    """
    if bool(files) == bool(project):
        raise UsageError(
            "cannot tell which audit",
            why="it wants exported files or a project, and not both",
            fix="run: ostiary audit reconcile --project NAME",
        )
    from ostiary.doors.servers.audit import kms_events as kms  # noqa: PLC0415
    from ostiary.doors.servers.audit.reconcile import Books  # noqa: PLC0415

    events = kms.read(kms_events) if kms_events else None
    books = Books()
    read_until = time.time()
    of = project or files[0].name
    _read(books, _of_files(files) if files else _of_project(project), of)
    found = books.reconciled()
    if events is not None:
        found.findings += kms.unmatched(books, events, books.last if files else read_until)
    if as_json:
        term.result_json(found.as_json())
    else:
        term.result(sentence(found))
    if found.findings:
        told = [f"{one.kind}: {one.text}" for one in found.findings[:MOST]]
        raise DriftFound(
            f"{term.counted(len(found.findings), 'finding')} in the audit of {of}",
            why="\n".join(told),
            fix=f"see each with: ostiary audit reconcile {_again(files, project, kms_events)} --json",
            code=found.findings[0].kind,
        )


def sentence(found: Reconciled) -> str:
    said = ", ".join(f"{number} {name}" for name, number in sorted(found.outcomes.items()))
    return (
        f"{term.counted(found.certificates, 'certificate')} issued,"
        f" {term.counted(found.slips, 'slip')} of break-glass;"
        f" hosts met {found.met}"
        + (f" (logins: {said})" if said else "")
        + ("" if found.findings else "\nno finding")
    )


def _again(files: tuple[Path, ...], project: str, kms_events: tuple[Path, ...]) -> str:
    """The words that name the same audit."""
    events = [word for one in kms_events for word in ("--kms-events", str(one))]
    named = [f"--project={project}"] if project else [str(one) for one in files]
    return shlex.join([*named, *events])


def _read(books: Books, rows: Iterator[Linked], of: str) -> None:
    """Every row into the books, if the chain is whole from its first row on: what was changed cannot be reconciled."""
    from ostiary.doors.servers.control.chain import faults  # noqa: PLC0415

    def passing() -> Iterator[Linked]:
        for row in rows:
            books.take(row)
            yield row

    if found := next(faults(passing()), ""):
        raise ProofFailed(
            f"the audit of {of} is not whole from its first row on",
            why=found,
            fix="name every file of the project, and see: ostiary audit verify FILE",
            code="tampered",
        )


def _of_files(files: tuple[Path, ...]) -> Iterator[Linked]:
    from ostiary.doors.servers.audit.segment import Segment, files_in  # noqa: PLC0415

    rows, _ = files_in(files)
    segments = sorted((Segment(file) for file in rows), key=lambda one: one.start.number)
    for one in segments:
        yield from one.rows()


def _of_project(project: str) -> Iterator[Linked]:
    from ostiary.doors.servers.audit.control_source import ControlSource  # noqa: PLC0415

    source = ControlSource(open_control(), project)
    after = 0
    while rows := source.rows(after):
        yield from rows
        after = rows[-1].number
