"""What a host is told by whichever of the processes on one database it asks: the last word is what holds."""

import pytest
from control_world import ControlWorld

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
