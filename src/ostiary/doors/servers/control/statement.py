"""Statements of the busiest path, compiled once and run by the driver itself.

SQLAlchemy takes some 80 µs to run even the smallest statement; a certificate needs half a dozen. What they say is still
written in SQLAlchemy, so it is the same on SQLite and PostgreSQL. Rows are plain tuples in the order of the columns, and
values go in as they are: only texts, numbers and booleans, which both drivers take.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Select,
    Table,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
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
    """``run`` raises SQLAlchemy's errors, as ``Connection.execute`` does. An insertion of one row names its ``columns``."""

    def __init__(self, made: Executable, columns: Sequence[str] = ()) -> None:
        self._made = made
        self._columns = columns or None
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """The driver's cursor after it ran."""
        compiled = self._for(connection)
        try:
            return _driver(connection).execute(compiled.text, compiled.bound(values))
        except _errors(connection) as error:
            raise _as_sqlalchemy(connection, compiled.text, error) from error

    def run_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        compiled = self._for(connection)
        bound = [compiled.bound(one) for one in rows]
        try:
            _driver(connection).cursor().executemany(compiled.text, bound)
        except _errors(connection) as error:
            raise _as_sqlalchemy(connection, compiled.text, error) from error

    def _for(self, connection: Connection) -> _Compiled:
        name = connection.dialect.name
        if name not in self._compiled:
            made: Any = self._made
            found = made.compile(dialect=connection.dialect, column_keys=self._columns)
            order = tuple(found.positiontup) if found.positional else None
            constants = {key: value for key, value in found.params.items() if value is not None}
            self._compiled[name] = _Compiled(found.string, order, constants)
        return self._compiled[name]


class Insertion:
    """Rows into all columns of a table. PostgreSQL is sent all in one value: a statement for each takes both sides longer."""

    def __init__(self, table: Table) -> None:
        names = [one.name for one in table.columns]
        self._each = Statement(insert(table), names)
        sent = func.jsonb_to_recordset(cast(bindparam("rows"), JSONB))
        rows = sent.table_valued(*(column(one.name, one.type) for one in table.columns))
        whole = select(*rows.render_derived(with_types=True).c)
        self._whole = Statement(insert(table).from_select(names, whole))

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        if _is_sqlite(connection):
            self._each.run_many(connection, rows)
        elif len(rows) == 1:
            self._each.run(connection, rows[0])
        else:
            self._whole.run(connection, {"rows": json.dumps(rows)})


class Lookup:
    """At most one row for each of many keys. PostgreSQL is asked for all at once; SQLite, to which nothing has to be sent, one by one.

    ``key`` is the column that ``query`` is not bound by yet.
    """

    def __init__(self, query: Select[Any], key: ColumnElement[str]) -> None:
        query = query.add_columns(key)
        self._one = Statement(query.where(key == bindparam("key")))
        keys = func.jsonb_array_elements_text(cast(bindparam("keys"), JSONB))
        self._many = Statement(query.where(key.in_(select(keys))))

    def ask(
        self, connection: Connection, keys: Sequence[str], **others: Any
    ) -> Callable[[], dict[str, tuple[Any, ...]]]:
        """What gives the rows by their keys, if need be after the block of ``pipelined``."""
        if _is_sqlite(connection):
            rows = [self._one.run(connection, {"key": one, **others}).fetchone() for one in keys]
            return lambda: _by_key(filter(None, rows))
        asked, values = self._many, {"keys": json.dumps(keys)}
        if len(keys) == 1:
            asked, values = self._one, {"key": keys[0]}
        cursor = asked.run(connection, {**values, **others})
        return lambda: _by_key(cursor.fetchall())

    def rows(
        self, connection: Connection, keys: Sequence[str], **others: Any
    ) -> dict[str, tuple[Any, ...]]:
        return self.ask(connection, keys, **others)()


def _by_key(rows: Iterable[tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {row[-1]: row[:-1] for row in rows}


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """What is run in the block goes out together where the driver knows how; how many rows it changed is known after it."""
    driver = _driver(connection)
    try:
        with driver.pipeline() if hasattr(driver, "pipeline") else nullcontext():
            yield
    except _errors(connection) as error:
        raise _as_sqlalchemy(connection, "", error) from error


def driven(connection: Connection, text: str, work: Callable[[Any], Any]) -> Any:
    """What ``work`` does with the driver's own connection, past SQLAlchemy but with its errors; ``text`` is for these."""
    try:
        return work(_driver(connection))
    except _errors(connection) as error:
        raise _as_sqlalchemy(connection, text, error) from error


def _driver(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def _errors(connection: Connection) -> type[Exception]:
    """What the driver raises."""
    known: Any = connection.dialect.loaded_dbapi
    found: type[Exception] = known.Error
    return found


def _as_sqlalchemy(connection: Connection, text: str, error: Exception) -> BaseException:
    return DBAPIError.instance(text, None, error, _errors(connection))
