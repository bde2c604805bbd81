"""What was read lately is good for a second from the first of it, and no longer than it is told."""

from ostiary.doors.servers.control.lately import SECONDS, Lately


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_it_is_good_for_a_second_from_the_first():
    clock = Clock()
    lately = Lately(clock)
    assert lately.get("a") is None
    lately.keep({"a": 1})
    clock.now += SECONDS * 0.9
    lately.keep({"b": 2})
    assert (lately.get("a"), lately.get("b")) == (1, 2)
    clock.now += SECONDS * 0.1
    assert (lately.get("a"), lately.get("b")) == (None, None)
    lately.keep({"c": 3})
    assert (lately.get("a"), lately.get("c")) == (None, 3)


def test_it_forgets_when_it_is_told():
    lately = Lately(Clock())
    lately.keep({"a": 1})
    lately.forget()
    assert lately.get("a") is None
