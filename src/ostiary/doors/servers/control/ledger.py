"""What one transaction writes into the chains of projects, and how: all rows together, at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Table, bindparam, insert, update

from ostiary.doors.servers.control.chain import START_HEAD, Head, Row, link
from ostiary.doors.servers.control.statement import Insertion, Lookup, Statement, pipelined
from ostiary.doors.servers.control.tables import audit, chains
from ostiary.errors import Unreachable

T = TypeVar("T")


class Guard(NamedTuple):
    """``judge`` is given the row that ``lookup`` finds for ``key``, None for none; it raises OstiaryError to undo its own part.

    Guards that ask the same are answered by one asking.
    """

    lookup: Lookup
    key: str
    judge: Callable[[Connection, Any], None]


@dataclass(slots=True)
class Ledger:
    """What one transaction writes into the chains; rows are inserted together at its end."""

    heads: dict[str, Head]
    now: float
    rows: list[Row] = field(default_factory=list)
    beside: dict[Table, list[Mapping[str, Any]]] = field(default_factory=dict)
    numbers: dict[str, tuple[int, int]] = field(default_factory=dict)  # next UID and GID, if moved
    by: str = ""  # who asked for what is being written: it stands in each of their rows
    guards: list[Guard] = field(default_factory=list)  # looked at together, at the end

    def insert(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert a row into ``table``, together with everybody else's at the end of the transaction."""
        self.beside.setdefault(table, []).append(row)

    def append(self, project_id: str, event: str, body: Mapping[str, Any]) -> int:
        """Add a row; its number in the chain of the project."""
        head = self.heads.get(project_id, START_HEAD)
        if self.by:
            body = {"by": self.by, **body}
        row = link(head, project_id, event, body, self.now)
        self.heads[project_id] = Head(row.number, row.hash)
        self.rows.append(row)
        return row.number


Work = Callable[[Connection, Ledger], T]


def store(connection: Connection, ledger: Ledger, known: Mapping[str, Head]) -> None:
    """What the guards ask and all that is written goes out together; then the guards judge what they were answered."""
    with pipelined(connection):
        asked = [
            (guards, lookup.ask(connection, list({one.key: None for one in guards})))
            for lookup, guards in _by_lookup(ledger.guards).items()
        ]
        for table, rows in ledger.beside.items():
            _insertion(table).run(connection, rows)
        moved = _append(connection, ledger, known) if ledger.rows else {}
    for guards, answered in asked:
        found = answered()
        for one in guards:
            one.judge(connection, found.get(one.key))
    for project_id, cursor in moved.items():
        if cursor.rowcount != 1:
            raise Unreachable(
                f"cannot append to the audit of project {project_id}",
                why="its chain moved under the lock",
                code="audit",
            )


def _by_lookup(guards: Sequence[Guard]) -> Mapping[Lookup, Sequence[Guard]]:
    found: dict[Lookup, list[Guard]] = {}
    for one in guards:
        found.setdefault(one.lookup, []).append(one)
    return found


def _append(connection: Connection, ledger: Ledger, known: Mapping[str, Head]) -> dict[str, Any]:
    """The cursors that moved the heads of chains."""
    _insertion(audit).run(
        connection,
        [
            {
                "project_id": row.project_id,
                "number": row.number,
                "time": row.time,
                "event": row.event,
                "body": row.body,
                "hash": row.hash,
            }
            for row in ledger.rows
        ],
    )
    moved = {}
    for project_id in sorted({row.project_id for row in ledger.rows}):
        head = ledger.heads[project_id]
        now = {"of": project_id, "number": head.number, "hash": head.hash}
        if project_id not in known:
            _FIRST.run(connection, now)
        else:
            moved[project_id] = _MOVE.run(connection, {**now, "before": known[project_id].hash})
    return moved


@cache
def _insertion(table: Table) -> Insertion:
    return Insertion(table)


_FIRST = Statement(
    insert(chains).values(
        project_id=bindparam("of"), number=bindparam("number"), hash=bindparam("hash")
    )
)
_MOVE = Statement(
    update(chains)
    .where(chains.c.project_id == bindparam("of"), chains.c.hash == bindparam("before"))
    .values(number=bindparam("number"), hash=bindparam("hash"))
)
