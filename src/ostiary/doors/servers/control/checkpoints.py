"""Signing checkpoints: each minute, and at the end of a process, the head of every chain that has grown.

Only what is whole is signed: the rows since the last checkpoint are hashed anew first, so that a row changed in the
database is found within a minute. A checkpoint is kept in its table and, because who can write there can cut a tail
too, at a second place; what that place has of a project must still be in its chain.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from ostiary.doors.servers.audit.checkpoint import signed, signer_of
from ostiary.doors.servers.control import authorities
from ostiary.doors.servers.control.authorities import HOST, Authorities, Authority
from ostiary.doors.servers.control.chain import START_HEAD, Head, Row, faults
from ostiary.doors.servers.control.checkpoint_places import Keeps
from ostiary.doors.servers.control.database import Database, translated
from ostiary.doors.servers.control.tables import audit, chains
from ostiary.doors.servers.control.tables import checkpoints as table
from ostiary.doors.servers.control.writer import Writer
from ostiary.doors.servers.wire.admin import Checkpoint
from ostiary.errors import NotFound, OstiaryError, ProofFailed
from ostiary.pki import ssh_key

_AT_ONCE = 2000  # rows in memory


class Checkpoints:
    """Signs for all projects of a database. ``places`` are where they are kept beside the table."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        authorities_held: Authorities,
        clock: Callable[[], float],
        places: Sequence[Keeps] = (),
    ) -> None:
        self._database = database
        self._writer = writer
        self._authorities = authorities_held
        self._clock = clock
        self._places = places
        self._kept: dict[str, Checkpoint] = {}  # by project, the last that every place has

    def sign(self) -> int:
        """Sign what has grown, and keep elsewhere what is not kept yet; how many were signed.

        What fails for one project or place stops no other; ProofFailed or OstiaryError tells all of it at the end.
        """
        failed: list[OstiaryError] = []
        number = 0
        for project_id, head in self._heads():
            try:
                number += self._project(project_id, head)
            except OstiaryError as error:
                failed.append(error)
        if failed:
            broken = any(isinstance(one, ProofFailed) for one in failed)
            raise (ProofFailed if broken else OstiaryError)(
                f"cannot checkpoint {len(failed)} of the audits",
                why="\n".join(str(one) for one in failed),
                code=next((one.code for one in failed if one.code), ""),
            )
        return number

    def _heads(self) -> list[tuple[str, Head]]:
        with translated("cannot read the audit"), self._database.reading() as connection:
            rows = connection.execute(select(chains).order_by(chains.c.project_id))
            return [(row.project_id, Head(row.number, row.hash)) for row in rows]

    def _project(self, project_id: str, head: Head) -> bool:
        """Bring one project up to ``head``; whether a checkpoint was signed."""
        kept = self._kept.get(project_id)
        elsewhere = [kept] if kept else [place.last(project_id) for place in self._places]
        with translated("cannot read the audit"), self._database.streaming() as connection:
            known = authorities.of_project(connection, project_id)
            last = _last(connection, project_id)
            for one in filter(None, (last, *elsewhere)):
                _check(connection, one, known)
            start = Head(last.number, last.hash) if last else START_HEAD
            with closing(_rows(connection, project_id, start, head)) as rows:
                found = next(faults(rows, head, start=start), "")
        if found:
            raise _broken(project_id, found)
        made = None if start == head else self._signed(project_id, head, known)
        newest = made or last
        if newest is not None and newest != kept:
            for place in self._places:
                place.keep(newest)
            self._kept[project_id] = newest
        return made is not None

    def _signed(self, project_id: str, head: Head, known: Sequence[Authority]) -> Checkpoint | None:
        """None where the project has no host authority: nobody could tell it from a forgery."""
        try:
            signer = self._authorities.signer(authorities.signing(known, HOST))
        except NotFound:
            return None
        time = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        made = signed(signer, project_id, head, time)
        self._writer.write(
            [], lambda connection, _: connection.execute(insert(table).values(asdict(made)))
        )
        return made


def after(
    connection: Connection, project_id: str, number: int, most: int
) -> tuple[Checkpoint, ...]:
    """The checkpoints of a project that follow row ``number``, in order."""
    rows = connection.execute(
        select(table)
        .where(table.c.project_id == project_id, table.c.number > number)
        .order_by(table.c.number)
        .limit(most)
    )
    return tuple(_checkpoint(row) for row in rows)


def _last(connection: Connection, project_id: str) -> Checkpoint | None:
    query = select(table).where(table.c.project_id == project_id)
    row = connection.execute(query.order_by(table.c.number.desc()).limit(1)).one_or_none()
    return _checkpoint(row) if row else None


def _checkpoint(row: Any) -> Checkpoint:
    return Checkpoint(row.project_id, row.number, row.hash, row.time, row.public_key, row.signature)


def _check(connection: Connection, one: Checkpoint, known: Sequence[Authority]) -> None:
    """ProofFailed unless a host authority of the project signed it and its row is still in the chain."""
    hosts = [ssh_key.parse(each.public_key) for each in known if each.use == HOST]
    if not hosts:
        raise _broken(one.project_id, "its checkpoints are there, its host authority is not")
    signer_of(one, hosts)
    found = connection.scalar(
        select(audit.c.hash).where(
            audit.c.project_id == one.project_id, audit.c.number == one.number
        )
    )
    if found != one.hash:
        what = "is not the one that was signed" if found else "is missing, and was signed"
        raise _broken(one.project_id, f"row {one.number} {what} at {one.time}")


def _rows(connection: Connection, project_id: str, start: Head, head: Head) -> Generator[Row]:
    query = (
        select(audit)
        .where(
            audit.c.project_id == project_id,
            audit.c.number > start.number,
            audit.c.number <= head.number,
        )
        .order_by(audit.c.number)
    )
    with connection.execute(query.execution_options(yield_per=_AT_ONCE)) as found:
        for row in found:
            yield Row(*row)


def _broken(project_id: str, why: str) -> ProofFailed:
    return ProofFailed(
        f"the audit of {project_id} is not whole",
        why=why,
        fix="keep the database as it is, and compare with exports and checkpoints kept elsewhere; "
        "where an older one was accepted, give --checkpoint-dir another place",
        code="tampered",
    )
