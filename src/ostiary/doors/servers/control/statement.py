"""Statements of the busiest path, compiled once and run by the driver itself.

SQLAlchemy takes some 80 µs to run even the smallest statement; a certificate needs half a dozen. What they say is still
written in SQLAlchemy, so it is the same on SQLite and PostgreSQL. Rows are plain tuples in the order of the columns, and
values go in as they are: only texts, numbers and booleans, which both drivers take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable
from sqlalchemy.exc import DBAPIError


@dataclass(frozen=True, slots=True)
class _Compiled:
    """For one driver: ``order`` of the values where it takes them by place; ``constants`` are those that the text has."""

    text: str
    order: tuple[str, ...] | None
    constants: Mapping[str, Any]

    def bound(self, values: Mapping[str, Any]) -> Any:
        whole = {**self.constants, **values} if self.constants else values
        return whole if self.order is None else [whole[name] for name in self.order]


class Statement:
    """``run`` and ``run_many`` raise SQLAlchemy's errors, as ``Connection.execute`` does.

    An insertion names its ``columns``.
    """

    def __init__(self, made: Executable, columns: Sequence[str] = ()) -> None:
        self._made = made
        self._columns = columns or None
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """The driver's cursor after it ran."""
        compiled = self._for(connection)
        values = compiled.bound(values)
        return driven(
            connection, compiled.text, lambda driver: driver.execute(compiled.text, values)
        )

    def run_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        self._many(connection, rows)

    def first_of_each(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The first row found for each, None where there is none. PostgreSQL is asked for all in one go."""
        if self._for(connection).order is not None or len(rows) == 1:
            return [self.run(connection, one).fetchone() for one in rows]
        cursor = self._many(connection, rows, returning=True)
        found = []
        for _ in rows:
            found.append(cursor.fetchone())
            cursor.nextset()
        return found

    def _many(self, connection: Connection, rows: Sequence[Mapping[str, Any]], **how: bool) -> Any:
        compiled = self._for(connection)
        values = [compiled.bound(one) for one in rows]

        def work(driver: Any) -> Any:
            cursor = driver.cursor()
            cursor.executemany(compiled.text, values, **how)
            return cursor

        return driven(connection, compiled.text, work)

    def _for(self, connection: Connection) -> _Compiled:
        name = connection.dialect.name
        if name not in self._compiled:
            made: Any = self._made
            found = made.compile(dialect=connection.dialect, column_keys=self._columns)
            order = tuple(found.positiontup) if found.positional else None
            constants = {key: value for key, value in found.params.items() if value is not None}
            self._compiled[name] = _Compiled(found.string, order, constants)
        return self._compiled[name]


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """What is run in the block goes out together where the driver knows how; how many rows it changed is known after it."""
    known: Any = connection.dialect.loaded_dbapi
    driver: Any = connection.connection.dbapi_connection
    try:
        with driver.pipeline() if hasattr(driver, "pipeline") else nullcontext():
            yield
    except known.Error as error:
        raise DBAPIError.instance("", None, error, known.Error) from error


def driven(connection: Connection, text: str, work: Callable[[Any], Any]) -> Any:
    """What ``work`` does with the driver's own connection, past SQLAlchemy but with its errors; ``text`` is for these."""
    known: Any = connection.dialect.loaded_dbapi
    try:
        return work(connection.connection.dbapi_connection)
    except known.Error as error:
        raise DBAPIError.instance(text, None, error, known.Error) from error
