"""Many who go at once (G2): the second reading is of each of them, whatever else changes meanwhile."""

import pytest

from ostiary.doors.servers.agent import state
from ostiary.doors.servers.agent.files import HostError
from ostiary.doors.servers.wire.host import HostState, HostUser
from ostiary.doors.servers.wire.message import encode

MANY = range(200)


def said(generation, users):
    held = tuple(HostUser(f"u{n}", 60001 + n, 63001 + n, "") for n in users)
    return HostState(generation, "srv_a", "prod", held, (), (), (), "", 30)


@pytest.fixture
def believed(tmp_path):
    """``believed(who is left, seconds)``: whether that is believed then; who was there first, all are."""
    path = tmp_path / "state.json"
    state.keep(path, said(1, MANY))
    owned = {f"u{n}" for n in MANY}

    def believed(left, now):
        try:
            told = encode(said(2, left))
            state.keep(path, state.believe(path, "srv_a", told, owned, 1000.0 + now))
        except HostError as error:
            if "users would go at once" not in error.told:
                raise
            return False
        return True

    return believed


def test_who_else_goes_in_each_minute_keeps_none_of_many(believed):
    assert not believed(range(50, 200), 0)
    assert not believed(range(51, 200), 59)
    assert believed(range(52, 200), 60)


def test_who_comes_back_by_turns_keeps_no_other(believed):
    assert [believed(range(50 + n % 2, 200), 25 * n) for n in range(4)] == [*[False] * 3, True]


def test_many_more_have_to_wait_for_themselves(believed):
    assert not believed(range(50, 200), 0)
    assert not believed(range(100, 200), 61)
    assert believed(range(100, 200), 121)


def test_whoever_was_there_meanwhile_begins_anew(believed):
    assert not believed(range(50, 200), 0)
    assert believed(MANY, 30)
    assert not believed(range(50, 200), 61)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"since": 1000.0}',
        '{"since": {"u1": "x"}}',
        '{"since": {"u1": NaN}}',
        "[" * 100000,
        '{"since": {"u1": %s}}' % ("9" * 400),
    ],
    ids=range(8),
)
def test_a_list_that_cannot_be_read_makes_all_wait(believed, tmp_path, text):
    (tmp_path / "pending.json").write_text(text)
    assert not believed(range(50, 200), 100)
    assert believed(range(50, 200), 160)
