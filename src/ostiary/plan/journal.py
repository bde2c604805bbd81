"""The write-ahead journal of one run: what is about to be done is durable before it is done.

Lines of JSON in a log of the store, each ``{"n": 1, "type": …, …, "sum": …}``: ``n`` counts from 1, ``sum`` is over
the line and the sum before it, so that a line can be neither changed nor left out. Types:

    begin    who, where, when, which plan, every override of the guard, the wrapped key of the before-images
    intent   key, action, before (sealed; null: absent): durable before the remote mutation starts
    outcome  key, result (done, failed, stale, unknown), fingerprint of what is there now, error
    end      the counts

A cut last line is what a kill leaves and is dropped; anything else that does not add up is damage.
Worker threads share one durable append: whoever comes first writes for all who queued meanwhile.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ostiary.errors import Conflict, OstiaryError
from ostiary.plan.change import Change, canonical
from ostiary.plan.resource import Json, Key
from ostiary.plan.runs import Log
from ostiary.plan.wrap import seal, unseal

Record = Mapping[str, Any]


class Journal:
    """Appends records. After one append failed every later one does: nothing is done that is not written down."""

    def __init__(self, log: Log, run_id: str, key: bytes) -> None:
        self._log = log
        self._run_id = run_id
        self._key = key
        self._turn = threading.Condition()
        self._queue: list[bytes] = []
        self._number = 0
        self._sum = ""
        self._durable = 0
        self._writing = False
        self._broken: BaseException | None = None

    def begin(self, facts: Record) -> None:
        self._wait(self._add({"type": "begin", "run": self._run_id, **facts}))

    def intent(self, change: Change, before: Mapping[str, Json] | None) -> None:
        """Returns when it is durable; OstiaryError if it cannot be: then do not go on."""
        sealed = None
        if before is not None:
            image = seal(self._key, canonical(before).encode(), self._context(change.key))
            sealed = base64.b64encode(image).decode()
        record = {
            "type": "intent",
            "key": str(change.key),
            "action": change.action,
            "before": sealed,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        self._wait(self._add(record))

    def outcome(self, key: Key, result: str, *, fingerprint: str = "", error: str = "") -> None:
        """Queued; durable with the next intent or the end (lost by a kill, it is found out by looking)."""
        record = {"type": "outcome", "key": str(key), "result": result, "fingerprint": fingerprint}
        self._add(record | ({"error": error} if error else {}))

    def end(self, counts: Mapping[str, int]) -> None:
        self._wait(self._add({"type": "end", "counts": dict(counts)}))

    def close(self) -> None:
        self._log.close()

    def _context(self, key: Key) -> bytes:
        return f"{self._run_id} {key}".encode()

    def _add(self, record: Record) -> int:
        with self._turn:
            self._number += 1
            line, self._sum = _line({"n": self._number, **record}, self._sum)
            self._queue.append(line)
            return self._number

    def _wait(self, number: int) -> None:
        with self._turn:
            while self._durable < number:
                if self._broken is not None:
                    raise OstiaryError(
                        f"cannot write the journal of run {self._run_id}",
                        why=str(self._broken),
                        fix="repair the run store, then run again: what is done stays done",
                    ) from self._broken
                if self._writing:
                    self._turn.wait()
                else:
                    self._write()

    def _write(self) -> None:
        """Write the queue for everybody; the lock is held on entry and exit, not while writing."""
        lines, self._queue = self._queue, []
        until, self._writing = self._number, True
        self._turn.release()
        failure: BaseException | None = None
        try:
            self._log.append(b"".join(lines))
        except BaseException as error:  # noqa: BLE001 - kept and raised in every waiting thread
            failure = error
        self._turn.acquire()
        self._writing = False
        self._broken = failure
        if failure is None:
            self._durable = until
        self._turn.notify_all()
        if failure is not None and not isinstance(failure, Exception):
            raise failure


@dataclass(frozen=True, slots=True)
class Step:
    """One intent with its outcome; ``result`` is "" if the run ended before it was known."""

    key: Key
    action: str
    sealed: str | None
    result: str = ""
    fingerprint: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A journal as read back."""

    run_id: str
    begin: Record
    steps: tuple[Step, ...]
    end: Record | None

    @property
    def unfinished(self) -> tuple[Step, ...]:
        """Intents whose outcome nobody knows."""
        return tuple(step for step in self.steps if step.result in ("", "unknown"))

    def before(self, step: Step, key: bytes) -> Mapping[str, Json] | None:
        """The before-image of a step, opened with the run's unwrapped key."""
        if step.sealed is None:
            return None
        context = f"{self.run_id} {step.key}".encode()
        image: Mapping[str, Json] = json.loads(unseal(key, base64.b64decode(step.sealed), context))
        return image


def read_journal(run_id: str, data: bytes) -> Recorded:
    """Check and read a whole journal; Conflict if it was damaged."""
    begin: Record = {}
    end: Record | None = None
    steps: dict[str, Step] = {}
    for record in _checked(run_id, data):
        match record["type"]:
            case "begin":
                begin = record
            case "intent":
                key = record["key"]
                steps[key] = Step(Key.parse(key), record["action"], record["before"])
            case "outcome":
                steps[record["key"]] = _settled(steps[record["key"]], record)
            case "end":
                end = record
    return Recorded(run_id, begin, tuple(steps.values()), end)


def _settled(step: Step, record: Record) -> Step:
    return Step(
        step.key,
        step.action,
        step.sealed,
        record["result"],
        record["fingerprint"],
        record.get("error", ""),
    )


def _line(record: Record, before: str) -> tuple[bytes, str]:
    body = canonical(record)
    total = _sum(before, body)
    return f'{body[:-1]},"sum":"{total}"}}\n'.encode(), total


def _sum(before: str, body: str) -> str:
    return hashlib.sha256((before + body).encode()).hexdigest()[:32]


def _checked(run_id: str, data: bytes) -> list[Record]:
    records: list[Record] = []
    before = ""
    *lines, _cut = data.split(b"\n")  # what follows the last line end is a cut line, or nothing
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            total = record.pop("sum")
            whole = _line(record, before)[0] == line + b"\n"
        except (ValueError, KeyError, AttributeError, TypeError):
            whole = False
        if not whole or record["n"] != number:
            raise Conflict(
                f"cannot trust the journal of run {run_id}",
                why=f"checksum error in line {number} of {len(lines)}",
                fix="plan again: the world itself is the state, this run cannot be restored",
            )
        before = total
        records.append(record)
    return records
