"""One thing is done while another is waited for, once, and what it raises is raised where it is waited for."""

import threading

import pytest

from ostiary.doors.servers.control.beside import Beside


@pytest.fixture
def beside():
    made = Beside()
    yield made
    made.close()


def test_what_was_begun_is_done_by_another_thread(beside):
    done = []
    for number in range(50):
        beside.want(lambda number=number: done.append((number, threading.current_thread())))
        beside.begin()
        beside.begin()  # of two commits the second has nothing to begin
        beside.end()
    assert [number for number, _ in done] == list(range(50))
    assert {by.name for _, by in done} == {"beside"}


def test_what_was_not_begun_is_done_by_who_waits_for_it(beside):
    done = []
    beside.want(lambda: done.append(threading.current_thread()))
    beside.end()
    beside.end()
    assert done == [threading.current_thread()]


def test_where_nothing_is_wanted_nothing_is_done(beside):
    beside.want(None)
    beside.begin()
    beside.end()


@pytest.mark.parametrize("begin", [True, False])
def test_what_it_raises_is_raised_once(beside, begin):
    def fail():
        raise LookupError("no key")

    beside.want(fail)
    if begin:
        beside.begin()
    with pytest.raises(LookupError):
        beside.end()
    beside.want(lambda: None)
    beside.begin()
    beside.end()


def test_it_ends():
    before = set(threading.enumerate())
    other = Beside()
    (its,) = set(threading.enumerate()) - before
    other.close()
    its.join(5)
    assert not its.is_alive()


def test_it_ends_once_however_often_it_is_told():
    for _ in range(20):
        one = Beside()
        one.close()
        one.close()
