"""Databases that have today's tables already: copies of one that the product's own upgrade made, which takes longer than most tests."""

import functools
import tempfile
from pathlib import Path

from postgres_world import make_database
from sqlalchemy.engine import make_url

from ostiary.doors.servers.control import schema
from ostiary.doors.servers.control.database import Database


def _upgraded(url):
    database = Database(url)
    schema.upgrade(database)
    database.close()


@functools.cache
def _sqlite():
    """The bytes of the file; SQLite folds its log into it when the last connection closes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tables.db"
        _upgraded(f"sqlite:///{file}")
        assert not Path(f"{file}-wal").exists()
        return file.read_bytes()


def begin(url):
    """Put the tables where a database of SQLite is to be, if nothing is there yet."""
    place = make_url(url)
    if place.drivername == "sqlite" and not Path(place.database).exists():
        Path(place.database).write_bytes(_sqlite())


@functools.cache
def template(cluster):
    """The name of a database in the cluster that others are copied from."""
    name = "with_tables"
    _upgraded(make_database(cluster, name))
    return name
