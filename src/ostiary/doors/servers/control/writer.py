"""The one writer of a process: whatever was queued during the last commit goes into the next.

There is no timer: alone, a write starts at once; under load, a batch is as large as the commit before it was slow. A
batch is one transaction that locks the chain heads it needs, appends, and commits; only then is anybody told. When the
commit failed, or nobody knows whether it was done, everybody in the batch is told so and must discard what they made.

One thread at a time has the turn, and writes what is queued in its order: the writer's own for those who only ``submit``,
or one that brings several writes at once and would but wait for them (``together``).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from ostiary.doors.servers.control.beside import Beside
from ostiary.doors.servers.control.chain import START_HEAD, Head
from ostiary.doors.servers.control.database import Database, heads, translated
from ostiary.doors.servers.control.ledger import Ledger, Work, store
from ostiary.doors.servers.control.statement import Statement
from ostiary.doors.servers.control.tables import audit
from ostiary.errors import OstiaryError, Throttled, Unreachable

T = TypeVar("T")
MOST_WAITING = 1000
LARGEST_BATCH = 200
LONGEST_WAIT = 30.0  # seconds: a primary without its standby, for one, never answers


def waited(done: Future[T]) -> T:
    """What was written. Unreachable when the database has not said for long whether it was."""
    try:
        return done.result(LONGEST_WAIT)
    except TimeoutError as error:
        raise overdue() from error


def overdue() -> Unreachable:
    return Unreachable(
        "cannot write to the database",
        why=f"it has not answered for {LONGEST_WAIT:.0f} s",
        fix="see that the database runs and reaches its standby",
        code="database",
        maybe_done=True,
    )


class Watermark(Protocol):
    """What remembers, outside the database, how far it came. ``check`` raises OstiaryError when it went back."""

    def check(self, found: Mapping[str, Head], hash_of: Callable[[str, int], str]) -> None: ...

    def keep(self, found: Mapping[str, Head], numbers: Mapping[str, tuple[int, int]]) -> None: ...


@dataclass(slots=True)
class _Queued(Generic[T]):
    """``done`` is what somebody waits for, None for nobody; ``found`` is what was written, or why it was not."""

    project_ids: Sequence[str]
    work: Work[T]
    by: str
    done: Future[T] | None
    ended: bool = False
    found: T | BaseException | None = None

    def end(self, found: T | BaseException) -> None:
        self.ended, self.found = True, found
        if self.done is None:
            return
        if isinstance(found, BaseException):
            self.done.set_exception(found)
        else:
            self.done.set_result(found)


class Writer:
    """Writes for all threads of this process. ``clock`` gives the time of audit rows."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float] = time.time,
        mark: Watermark | None = None,
    ) -> None:
        self._database = database
        self._mark = mark
        self._clock = clock
        self._queue: deque[_Queued[Any]] = deque()
        self._turn = threading.Lock()
        self._called = threading.Event()
        self._ended = False
        self._beside = Beside()  # of who has the turn
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def submit(self, project_ids: Sequence[str], work: Work[T], by: str = "") -> Future[T]:
        """Do ``work`` in a transaction that holds the chains of ``project_ids``; done when it is durable.

        ``work`` may run twice: a batch that fails is done again one by one, so that one failure is nobody else's. An
        OstiaryError that it raises rolls back only itself. ``by`` is who asked for it. Throttled when too many wait already.
        """
        done: Future[T] = Future()
        self._add(_Queued(project_ids, work, by, done))
        self._called.set()
        return done

    def write(self, project_ids: Sequence[str], work: Work[T], by: str = "") -> T:
        """``submit`` and wait. Unreachable when nobody knows whether it was done."""
        return waited(self.submit(project_ids, work, by))

    def together(
        self,
        wanted: Sequence[tuple[Sequence[str], Work[Any]]],
        meanwhile: Callable[[], None] | None = None,
    ) -> list[Any]:
        """As ``write`` for each, written by the thread that asks: what each gives, or the error that it ends with.

        ``meanwhile`` is done too, beside it while the database makes the first of it durable.
        """
        queued = [_Queued(*one, "", None) for one in wanted]
        for one in queued:
            self._add(one)
        if not self._turn.acquire(timeout=LONGEST_WAIT):
            return [overdue() for _ in queued]
        try:
            self._beside.want(meanwhile)
            while not all(one.ended for one in queued):
                self._write(self._batch(), self._beside.begin)
            self._beside.end()
        finally:
            self._turn.release()
        return [one.found for one in queued]

    def close(self) -> None:
        """Finish what is queued and end; a database that never answers is left behind."""
        self._ended = True
        self._called.set()
        self._thread.join(LONGEST_WAIT)
        self._beside.close()

    def _add(self, queued: _Queued[Any]) -> None:
        if len(self._queue) >= MOST_WAITING:
            why = f"{MOST_WAITING} requests wait already"
            raise Throttled("cannot write now", why=why, code="busy")
        self._queue.append(queued)

    def _run(self) -> None:
        while not self._ended:
            self._called.wait()
            self._called.clear()
            with self._turn:
                while self._queue:
                    self._write(self._batch())

    def _batch(self) -> list[_Queued[Any]]:
        return [self._queue.popleft() for _ in range(min(len(self._queue), LARGEST_BATCH))]

    def _write(
        self, batch: list[_Queued[Any]], committing: Callable[[], None] | None = None
    ) -> None:
        try:
            results = self._transaction(batch, committing)
        except _Alone:
            for one in batch:
                self._write_alone(one, committing)
        except BaseException as error:  # noqa: BLE001 - told to everybody who waits, whatever it is
            for one in batch:
                one.end(error)
        else:
            for one, result in zip(batch, results, strict=True):
                one.end(result)

    def _write_alone(self, one: _Queued[Any], committing: Callable[[], None] | None) -> None:
        try:
            with translated("cannot write to the database"):
                (result,) = self._transaction([one], committing, alone=True)
        except BaseException as error:  # noqa: BLE001 - as above
            one.end(error)
        else:
            one.end(result)

    def _transaction(
        self,
        batch: list[_Queued[Any]],
        committing: Callable[[], None] | None,
        *,
        alone: bool = False,
    ) -> list[Any]:
        what = "cannot write to the database"
        with translated(what), self._database.writing(committing) as connection:
            wanted = sorted({project for one in batch for project in one.project_ids})
            ledger = Ledger(heads(connection, wanted), self._clock())
            known = dict(ledger.heads)
            self._compare(connection, {one: known.get(one, START_HEAD) for one in wanted})
            try:
                results = [_done(one, connection, ledger) for one in batch]
                store(connection, ledger, known)
            except (OstiaryError, SQLAlchemyError) as error:
                if alone or len(batch) == 1:
                    raise
                raise _Alone from error
        if self._mark is not None and ledger.rows:
            self._mark.keep(ledger.heads, ledger.numbers)
        return results

    def _compare(self, connection: Connection, known: Mapping[str, Head]) -> None:
        """Unreachable when this database is behind what was seen: perhaps a primary that another has followed."""
        if self._mark is None:
            return
        try:
            self._mark.check(known, partial(_hash_of, connection))
        except OstiaryError as error:
            self._database.leave()
            raise Unreachable(error.what, why=error.why, fix=error.fix, code=error.code) from error


def _hash_of(connection: Connection, project_id: str, number: int) -> str:
    row = _HASH.run(connection, {"project": project_id, "number": number}).fetchone()
    return str(row[0]) if row else ""


def _done(one: _Queued[T], connection: Connection, ledger: Ledger) -> T:
    ledger.by = one.by
    return one.work(connection, ledger)


class _Alone(Exception):
    """Something in a batch failed: nothing of it was written, and each is to be done by itself."""


_HASH = Statement(
    select(audit.c.hash).where(
        audit.c.project_id == bindparam("project"), audit.c.number == bindparam("number")
    )
)
