"""The tables as they are made, on databases of both kinds; and databases of other versions."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from ostiary.doors.servers.control import schema
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.tables import METADATA
from ostiary.errors import Conflict


@pytest.fixture
def database(empty_database_url):
    database = Database(empty_database_url)
    yield database
    database.close()


def test_the_revisions_make_the_tables_of_this_version(database):
    schema.upgrade(database)
    with database.reading() as connection:
        # SQLite gives defaults back in quotes, which Alembic takes for a difference.
        compared = {"compare_type": True, "compare_server_default": not database.is_sqlite}
        context = MigrationContext.configure(connection, opts=compared)
        assert compare_metadata(context, METADATA) == [], "a change of tables.py needs a revision"
    schema.check(database)
    schema.upgrade(database)


def test_many_that_start_at_once_make_them_once(database, empty_database_url):
    others = [Database(empty_database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(schema.upgrade, others))
    schema.check(database)
    for one in others:
        one.close()


def test_a_database_without_tables_is_not_used_unasked(database):
    with pytest.raises(Conflict, match="its tables are of revision none") as no:
        schema.check(database)
    assert no.value.code == "schema"


def test_a_database_of_a_newer_version_is_left_alone(database):
    schema.upgrade(database)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for work in (schema.check, schema.upgrade):
        with pytest.raises(Conflict, match="revision 9999"):
            work(database)


def test_an_upgrade_that_fails_leaves_nothing(database):
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE projects (id TEXT)"))
    with pytest.raises(Exception, match="projects"):
        schema.upgrade(database)
    with database.reading() as connection:
        names = database.engine.dialect.get_table_names(connection)
    assert set(names) == {"projects"}
