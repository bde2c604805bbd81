"""The database of the control plane: SQLite for one process and a few, PostgreSQL for any number.

SQLite runs in WAL mode with ``synchronous=FULL``, so a commit is on disk; a writing transaction takes the lock at its
beginning (``BEGIN IMMEDIATE``), so it never fails half-way for want of it. On both, each statement of a reading stands
alone, and a transaction is begun by us.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DisconnectionError, SQLAlchemyError

from ostiary.doors.servers.control.chain import Head
from ostiary.doors.servers.control.copying_back import MOST_PAGES, CopyingBack
from ostiary.doors.servers.control.statement import Statement, driven
from ostiary.doors.servers.control.tables import chains
from ostiary.doors.servers.control.turn import Turn
from ostiary.errors import OstiaryError, Unreachable, UsageError

CLOSE_SECONDS = 5.0
CLOSE_EVERY = 0.005
LOCK_SECONDS = 5  # longest wait for the lock of another writer
_FOLDER = "it is a folder"
DRIVER = "postgresql+psycopg"
MOST_AT_HAND = 4
AT_HAND_SECONDS = (
    1.0  # after which a connection may have died unnoticed: the pool asks before it gives one
)


@dataclass(frozen=True, slots=True)
class _AtHand:
    """A connection with nothing open in it, for whoever comes next: the pool takes longer than a small query."""

    connection: Connection
    left: int
    until: float


class Database:
    """One engine. ``url`` is ``sqlite:///FILE`` or ``postgresql://…``; a password belongs into PGPASSFILE."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._begin = "BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN"
        file = self.engine.url.database
        self._turn = Turn(Path(f"{file}-turn"), LOCK_SECONDS) if self.is_sqlite and file else None
        self._back = CopyingBack(str(file), self._turn) if self._turn is not None else None
        self._at_hand: deque[_AtHand] = deque()
        self._lent: deque[None] = deque()  # one for each connection that somebody has
        self._left = 0
        event.listen(self.engine, "connect", self._note)
        event.listen(self.engine, "checkout", self._is_left)

    def reading(self) -> Lent:
        return Lent(self)

    @contextmanager
    def streaming(self) -> Iterator[Connection]:
        """A reading of more than is held in memory at once: a cursor of PostgreSQL lives in a transaction."""
        with self.reading() as connection:
            driven(connection, "BEGIN", lambda driver: driver.execute("BEGIN"))
            yield connection

    @contextmanager
    def writing(self, committing: Callable[[], None] | None = None) -> Iterator[Connection]:
        """One transaction, durable when the block has ended without an exception.

        ``committing`` is called when nothing but the database is waited for any more.
        """
        turn = self._turn.held() if self._turn is not None else nullcontext()
        with turn, self.reading() as connection:
            driven(connection, self._begin, lambda driver: driver.execute(self._begin))
            yield connection
            if committing is not None:
                committing()
            _commit(connection)
        if self._back is not None:
            self._back.committed()

    def lend(self) -> Connection:
        """A connection, to be taken back."""
        self._lent.append(None)
        try:
            return self._take()
        except BaseException:
            self._lent.pop()
            raise

    def take_back(self, connection: Connection, *, is_sound: bool) -> None:
        """One in which something failed is not used again without a look at it."""
        try:
            if is_sound:
                _roll_back(connection)
        except BaseException:
            is_sound = False
            raise
        finally:
            try:
                (self._give_back if is_sound else _let_go)(connection)
            finally:
                self._lent.pop()

    def _take(self) -> Connection:
        while self._at_hand:
            try:
                found = self._at_hand.pop()
            except IndexError:  # another thread was faster
                break
            if found.left == self._left and time.monotonic() < found.until:
                return found.connection
            found.connection.close()
        return self.engine.connect()

    def _give_back(self, connection: Connection) -> None:
        if len(self._at_hand) >= MOST_AT_HAND:
            connection.close()
            return
        until = time.monotonic() + AT_HAND_SECONDS
        self._at_hand.append(_AtHand(connection, self._left, until))

    def leave(self) -> None:
        """Use no connection again that is open now: the next ones look anew for the right server."""
        self._left += 1

    def _note(self, _: object, record: Any) -> None:
        record.info["left"] = self._left

    def _is_left(self, _: object, record: Any, __: object) -> None:
        """SQLAlchemy closes a connection about which this is raised, and opens another."""
        if record.info["left"] != self._left:
            raise DisconnectionError

    def close(self) -> None:
        """Close all connections, when those in use have come back; one that hangs is left behind."""
        until = time.monotonic() + CLOSE_SECONDS
        while self._lent and time.monotonic() < until:
            time.sleep(CLOSE_EVERY)
        while self._at_hand:
            self._at_hand.pop().connection.close()
        if self._back is not None:
            self._back.close()
        self.engine.dispose()
        if self._turn is not None:
            self._turn.close()


class Lent:
    """The block for which one has a connection. No generator: it is entered for every certificate."""

    __slots__ = ("_connection", "_database")

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Connection:
        self._connection = self._database.lend()
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._database.take_back(self._connection, is_sound=kind is None)


def _let_go(connection: Connection) -> None:
    """The pool rolls back, but not on one that the server has ended: it would log how that failed, over forty lines."""
    if not connection.invalidated and getattr(
        connection.connection.dbapi_connection, "closed", False
    ):
        connection.invalidate()
    connection.close()


def _commit(connection: Connection) -> None:
    """Also what was done past SQLAlchemy, which then knows of no transaction."""
    if connection.in_transaction():
        connection.commit()
    driven(connection, "COMMIT", lambda driver: driver.commit())


def _roll_back(connection: Connection) -> None:
    """End whatever a reading has begun."""
    if connection.in_transaction():
        connection.rollback()
    driven(connection, "ROLLBACK", lambda driver: driver.rollback())


_HEAD = Statement(
    select(chains.c.number, chains.c.hash)
    .where(chains.c.project_id == bindparam("project_id"))
    .with_for_update()  # SQLite has no such clause and needs none: its lock is held already
)


def heads(connection: Connection, project_ids: list[str]) -> dict[str, Head]:
    """The chain heads of projects, locked until the transaction ends; always locked in one order."""
    found = {}
    for project_id in sorted(project_ids):
        row = _HEAD.run(connection, {"project_id": project_id}).fetchone()
        if row is not None:
            found[project_id] = Head(*row)
    return found


def _engine(url: str) -> Engine:
    refused = UsageError(
        "cannot use the database address",
        why="it is neither sqlite:///FILE nor postgresql://HOST/NAME",
        fix="correct --database or OSTIARY_DATABASE",
    )
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise refused from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise refused
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername=DRIVER)
    if parsed.password:
        raise UsageError(
            "cannot use the database address",
            why="it holds a password, and an address is shown in process lists and logs",
            fix="put the password into the file that PGPASSFILE names",
        )
    of_server = parsed.get_backend_name() == "postgresql"
    engine = create_engine(
        parsed,
        pool_pre_ping=of_server,
        hide_parameters=True,
        **({"isolation_level": "AUTOCOMMIT"} if of_server else {}),  # else a reading asks thrice
    )
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _prepare_postgresql)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "do_connect", _refuse_folder)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _let_us_begin)
    return engine


def _refuse_folder(_: object, __: object, arguments: Any, ___: object) -> None:
    """SQLite says of one only that it cannot be opened."""
    if Path(arguments[0]).is_dir():
        raise sqlite3.OperationalError(_FOLDER)


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions are begun by us alone
    for setting in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"wal_autocheckpoint = {MOST_PAGES}",
        f"busy_timeout = {LOCK_SECONDS * 1000}",
    ):
        connection.execute(f"PRAGMA {setting}")


def _prepare_postgresql(connection: Any, _: object) -> None:
    """Whoever runs the server may have let commits return before they are on its disk; more than that is kept."""
    connection.execute(f"set lock_timeout = '{LOCK_SECONDS}s'")
    connection.execute(
        "select set_config('synchronous_commit', 'on', false)"
        " where current_setting('synchronous_commit') = 'off'"
    )
    connection.commit()


def _let_us_begin(connection: Connection) -> None:
    """SQLAlchemy's begin does nothing on SQLite: see ``Database.writing``."""
    del connection


class translated:  # noqa: N801 - reads as a word, as those of contextlib do
    """Turn whatever the database says in the block into our error; nothing else leaves this package."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, SQLAlchemyError):
            raise _ours(self._what, error) from error


def _ours(what: str, error: SQLAlchemyError) -> OstiaryError:
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    if isinstance(error, DataError):
        why = f"the database cannot hold it: {reason}"
        return UsageError(what, why=why, code="bad-request")
    what = what.replace(f"{DRIVER}://", "postgresql://")  # as somebody wrote it
    fix = (
        _NOT_OURS
        if _IS_ANOTHER.search(reason)
        else _FIXES.get(reason, "see that the database runs and its disk has space")
    )
    return Unreachable(what, why=reason, fix=fix, code="database")


_NOT_OURS = "name the database of a control plane with --database"
_IS_ANOTHER = re.compile(r'^no such table: |(relation|database) "[^"]*" does not exist$')
# What SQLite says of its file: SQLITE_CANTOPEN, SQLITE_READONLY, SQLITE_NOTADB.
_FIXES = {
    "unable to open database file": "see that its folder is there, and that this user may write to it",
    _FOLDER: "see that it is a file in a folder that is there: correct --database",
    "attempt to write a readonly database": "see that this user may write to it and to its folder",
    "file is not a database": "name the file of a control plane with --database",
}
