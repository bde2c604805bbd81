"""Keys that every process on a database needs, kept there wrapped by the key-encryption key."""

from __future__ import annotations

import os

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from ostiary.doors.servers.control.database import Database, translated
from ostiary.doors.servers.control.tables import secrets
from ostiary.errors import Denied, OstiaryError
from ostiary.plan.wrap import Wrap

BYTES = 32


def _opened(wrap: Wrap, wrapped: bytes) -> bytes:
    try:
        return wrap.unwrap(wrapped)
    except OstiaryError as error:
        raise Denied(
            "cannot open the keys in this database",
            why=str(error),
            fix="give --kek-file or --kek-kms the key that the database was made with",
            code=error.code or "kek",
        ) from error


def shared(database: Database, wrap: Wrap, name: str) -> bytes:
    """The key of this name, made by whoever comes first."""
    with translated(f"cannot read the key {name}"):
        for _ in range(2):
            with database.reading() as connection:
                query = select(secrets.c.wrapped).where(secrets.c.name == name)
                wrapped = connection.scalar(query)
            if wrapped is not None:
                return _opened(wrap, wrapped)
            made = wrap.wrap(os.urandom(BYTES))
            try:
                with database.writing() as connection:
                    connection.execute(insert(secrets).values(name=name, wrapped=made))
            except IntegrityError:
                continue  # another process was first
    return shared(database, wrap, name)
