"""The storage suite on SQLite, and how it finds what it is asked for."""

import sqlite3

import pytest
from control_world import ControlWorld
from sqlalchemy import Engine, event
from storage_suite import StorageSuite

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
        server = world.server("web1")
        ada, bob = (world.person(f"{one}@acme.example", ["sre"]) for one in ("ada", "bob"))
        for one in (ada, bob, ada):  # each gets a LocalUser, of which the view has to know
            assert one.certificate("web1")
        asked.clear()
        assert ada.certificate("web1")
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
