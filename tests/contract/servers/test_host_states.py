"""What a host is told by whichever of the processes on one database it asks: the last word is what holds."""

import pytest
from control_world import ControlWorld
from sqlalchemy import event

from ostiary.doors.servers.control import projects, rules
from ostiary.doors.servers.control.view import read
from ostiary.doors.servers.wire.admin import Rule


@pytest.fixture
def two(database_url, tmp_path):
    """Two control planes on one database, of one key, and a host of theirs at each."""
    (tmp_path / "second").mkdir()
    first = ControlWorld(database_url, tmp_path)
    second = ControlWorld(database_url, tmp_path, settings={"state_dir": tmp_path / "second"})
    yield first, second
    second.close()
    first.close()


def test_who_came_and_went_while_a_process_was_not_asked_goes(two):
    """To it nothing has changed. But another has told the host of somebody."""
    first, second = two
    first.project("prod", [Rule("group:sre", login=True)])
    here = first.server("web1")
    there = second.host(here.key)
    there.id = here.id
    assert there.state().users == ()
    first.person("alice@acme.example", ["sre"])
    held = here.state()
    assert [one.login for one in held.users] == ["alice"]
    first.person("alice@acme.example", [])
    told = there.state(held.generation)
    assert told is not None, "it takes what it holds for the last word"
    assert (told.users, told.generation > held.generation) == ((), True)


@pytest.mark.parametrize("table", ["machines", "entitlements", "authorities", "local_groups"])
def test_what_is_read_of_a_project_is_of_one_generation(two, table):
    """Somebody is put out between two of the queries: what was read so far is older than what is read then."""
    first, second = two
    made = first.project("prod", [Rule("group:sre", login=True)])
    database, moved = first.services.database, []

    def meanwhile(_connection, _cursor, statement, *_):
        if f"FROM {table}" in statement and not moved:
            moved.append(statement)
            second.services.writer.write(
                [made.id], lambda connection, ledger: rules.put(connection, ledger, made, ())
            )

    with database.reading() as connection:
        before = projects.by_id(connection, made.id)
        event.listen(database.engine, "before_cursor_execute", meanwhile)
        view = read(connection, before)
        event.remove(database.engine, "before_cursor_execute", meanwhile)
        assert moved
        assert view.project == projects.by_id(connection, made.id)
        assert view.rules == ()
