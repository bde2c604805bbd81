"""The storage suite on SQLite, and how it finds what it is asked for."""

import contextlib
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from control_world import ControlWorld
from sqlalchemy import Engine, event
from storage_suite import StorageSuite

from ostiary.doors.servers.control.copying_back import COMMITS
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.wire.admin import Rule


class TestSqlite(StorageSuite):
    @pytest.fixture
    def database(self, tmp_path):
        database = Database(f"sqlite:///{tmp_path}/control.db")
        yield database
        database.close()


@pytest.fixture
def asked():
    """Every statement that any database is asked, with its values."""
    found = []

    def trace(driver, _):
        driver.set_trace_callback(found.append)

    event.listen(Engine, "connect", trace)
    yield found
    event.remove(Engine, "connect", trace)


def test_nothing_of_a_certificate_is_looked_for_row_by_row(asked, tmp_path):
    """However many servers there are, and people: the event loop itself does it."""
    world = ControlWorld(f"sqlite:///{tmp_path}/control.db", tmp_path)
    try:
        world.project(rules=[Rule("group:sre", login=True)])
        world.server("web1")
        server = world.server("web2")
        ada, bob = (world.person(f"{one}@acme.example", ["sre"]) for one in ("ada", "bob"))
        for one in (ada, bob, ada):  # each gets a LocalUser, of which the view has to know
            assert one.certificate("web1")
        asked.clear()
        assert ada.certificate("web2")
        assert bob.certificate(server.id)
        tables = ("FROM servers", "FROM people", "FROM sessions", "JOIN sessions")
        looked = {one for one in asked if any(table in one for table in tables)}
    finally:
        world.close()
    with sqlite3.connect(tmp_path / "control.db") as database:
        plans = {one: database.execute(f"EXPLAIN QUERY PLAN {one}").fetchall() for one in looked}
    database.close()
    steps = [step[3] for plan in plans.values() for step in plan]
    assert any("ix_servers_name" in step for step in steps), plans
    assert not [step for step in steps if step.startswith("SCAN")], plans


def test_the_log_does_not_grow_with_what_is_written(tmp_path):
    """By threads that write without a pause."""
    file = tmp_path / "control.db"
    database = Database(f"sqlite:///{file}")
    with database.writing() as connection:
        connection.exec_driver_sql("create table t (a integer primary key, b text)")

    def write(number):
        for one in range(400):
            with database.writing() as connection:
                value = f"{number} {one} " + "x" * 3000
                connection.exec_driver_sql("insert into t (b) values (?)", (value,))

    with ThreadPoolExecutor(3) as threads:
        for one in [threads.submit(write, number) for number in range(3)]:
            one.result()
    size = file.with_name("control.db-wal").stat().st_size
    with database.reading() as connection:
        assert connection.exec_driver_sql("select count(*) from t").scalar() == 1200
    database.close()
    assert size < 10_000_000, "as long as all that was written"
    with contextlib.closing(sqlite3.connect(file)) as whole:
        assert whole.execute("pragma integrity_check").fetchone() == ("ok",)


def test_nothing_is_left_running_by_a_database_that_is_closed(tmp_path):
    before = set(threading.enumerate())
    database = Database(f"sqlite:///{tmp_path}/control.db")
    for _ in range(2 * COMMITS):
        with database.writing():
            pass
    assert set(threading.enumerate()) - before
    database.close()
    assert not set(threading.enumerate()) - before  # of the others some may have ended
