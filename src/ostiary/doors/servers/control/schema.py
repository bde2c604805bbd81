"""The tables of a database, brought to this version by Alembic: all of it in one transaction, by one process at a time."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, func, select

from ostiary.doors.servers.control.database import Database, translated
from ostiary.errors import Conflict

PLACE = "ostiary.doors.servers.control:migrations"
_LOCK = 0x6F737469617279  # of PostgreSQL's advisory locks: "ostiary"


def upgrade(database: Database) -> None:
    """Make the tables, or change them into those of this version. Conflict when a newer version has made them."""
    shown = database.engine.url.render_as_string(hide_password=True)
    with translated(f"cannot open the database {shown}"), database.writing() as connection:
        if not database.is_sqlite:  # SQLite's writing transactions exclude each other anyway
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        try:
            command.upgrade(_config(connection), "head")
        except CommandError as error:
            raise _another(_current(connection)) from error


def check(database: Database) -> None:
    """Conflict unless the tables are those of this version."""
    with translated("cannot read the database's version"), database.reading() as connection:
        found = _current(connection)
    if found != ScriptDirectory.from_config(_config()).get_current_head():
        raise _another(found)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", PLACE)
    config.attributes["connection"] = connection
    return config


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _another(found: str | None) -> Conflict:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    return Conflict(
        "cannot use this database",
        why=f"its tables are of revision {found or 'none'}; this version of ostiary has {head}",
        fix="start the newest ostiary serve once without --no-migrate",
        code="schema",
    )
