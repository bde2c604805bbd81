"""The audit chain of a project: each row's hash is over the row and the hash before it.

Fields are hashed with their lengths in front, so that no two rows have one preimage. A missing, changed, swapped or
added row breaks the chain; a cut tail shows only against a checkpoint kept elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec

START = "0" * 64
_json = msgspec.json.Encoder(order="sorted")


class Row(NamedTuple):
    """One row as stored. ``time`` is ISO 8601 in UTC, ``body`` canonical JSON, ``hash`` in hex."""

    project_id: str
    number: int
    time: str
    event: str
    body: str
    hash: str


class Head(NamedTuple):
    """The last row of a chain; ``number`` 0 and ``START`` before the first."""

    number: int = 0
    hash: str = START


START_HEAD = Head()


def link(head: Head, project_id: str, event: str, body: Mapping[str, Any], now: float) -> Row:
    """The row that comes after ``head``."""
    time = _text_of(now)
    text = _json.encode(body).decode()
    number = head.number + 1
    found = row_hash(head.hash, project_id, str(number), time, event, text)
    return Row(project_id, number, time, event, text, found)


@lru_cache(maxsize=16)
def _text_of(now: float) -> str:
    """All rows of a batch are of one time."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")


def row_hash(before: str, *fields: str) -> str:
    """Over the hash before and the row's fields (project, number, time, event, body)."""
    parts = [bytes.fromhex(before)]
    for field in fields:
        raw = field.encode()
        parts += (len(raw).to_bytes(8, "big"), raw)
    return hashlib.sha256(b"".join(parts)).hexdigest()


class Linked(Protocol):
    """What is judged of a row: a ``Row``, or the line of an exported file."""

    @property
    def project_id(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def time(self) -> str: ...
    @property
    def event(self) -> str: ...
    @property
    def body(self) -> str: ...
    @property
    def hash(self) -> str: ...


def faults(rows: Iterable[Linked], *signed: Head, start: Head = START_HEAD) -> Iterator[str]:
    """What is wrong with the rows of one project that follow ``start``, in order; nothing for a whole chain.

    ``signed`` are heads that the chain must have on its way: the stored one, or checkpoints (later rows are fine).
    """
    awaited = {head.number: head.hash for head in signed}
    before, number = start.hash, start.number
    if awaited.get(number, before) != before:
        yield f"row {number} is not the one that was signed"
    for row in rows:
        number += 1
        if row.number != number:
            yield f"row {number} is missing: {row.number} follows {number - 1}"
            number = row.number
        elif _hash_of(before, row) != row.hash:
            yield f"row {number} is not what was written"
        before = row.hash
        if awaited.get(number, before) != before:
            yield f"row {number} is not the one that was signed"
    if awaited and (last := max(awaited)) > number:
        yield f"rows {number + 1} to {last} are missing at the end"


def _hash_of(before: str, row: Linked) -> str:
    try:
        return row_hash(before, row.project_id, str(row.number), row.time, row.event, row.body)
    except ValueError:  # the hash before is no hex: it was said of that row
        return ""
