"""Calls answered together: what waits becomes one batch, each has an end of its own, and too many are refused."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ostiary.doors.servers.control import line
from ostiary.doors.servers.control.line import Apart, Line
from ostiary.errors import Denied, Throttled


class Work:
    """Keeps batches as they come; the first waits until it is let go."""

    def __init__(self):
        self.batches, self.held = [], threading.Event()

    def __call__(self, calls):
        self.batches.append(list(calls))
        assert self.held.wait(10)
        return [Denied("no") if call == "bad" else f"answer to {call}" for call in calls]


def run(scenario, longest=30.0):
    """The work is done in a thread aside."""
    work = Work()
    with ThreadPoolExecutor(1) as aside:
        lined = Line(work, longest, lambda: TimeoutError("overdue"), aside)

        async def main():
            try:
                return await asyncio.wait_for(scenario(lined, work), 20)
            finally:
                work.held.set()

        return asyncio.run(main())


async def begun(lined, work):
    """The line is busy with a first call."""
    first = asyncio.ensure_future(lined.ask("first"))
    for _ in range(2000):
        if work.batches:
            return [first]
        await asyncio.sleep(0.005)
    raise AssertionError("the thread did not begin")


def test_alone_a_call_is_answered_at_once_and_what_waits_is_one_batch():
    async def scenario(lined, work):
        first = await begun(lined, work)
        later = [asyncio.ensure_future(lined.ask(number)) for number in range(20)]
        await asyncio.sleep(0.01)
        work.held.set()
        answers = await asyncio.gather(*first, *later)
        assert answers[len(first) :] == [f"answer to {number}" for number in range(20)]
        assert work.batches == [["first"], list(range(20))]

    run(scenario)


def test_no_batch_is_larger_than_allowed():
    async def scenario(lined, work):
        first = await begun(lined, work)
        later = [asyncio.ensure_future(lined.ask(n)) for n in range(3 * line.LARGEST_BATCH)]
        await asyncio.sleep(0.01)
        work.held.set()
        await asyncio.gather(*first, *later)
        assert max(map(len, work.batches)) == line.LARGEST_BATCH
        assert sum(map(len, work.batches)) == 1 + len(later)

    run(scenario)


def test_one_refusal_is_nobody_elses():
    async def scenario(lined, work):
        first = await begun(lined, work)
        later = [asyncio.ensure_future(lined.ask(call)) for call in ("a", "bad", "b")]
        await asyncio.sleep(0.01)
        work.held.set()
        found = await asyncio.gather(*first, *later, return_exceptions=True)
        a, bad, b = found[len(first) :]
        assert (a, b) == ("answer to a", "answer to b")
        assert isinstance(bad, Denied)

    run(scenario)


def test_who_went_away_takes_nothing_from_the_others():
    async def scenario(lined, work):
        first = await begun(lined, work)
        gone, stays = (asyncio.ensure_future(lined.ask(call)) for call in ("gone", "stays"))
        await asyncio.sleep(0.01)
        gone.cancel()
        work.held.set()
        assert await stays == "answer to stays"
        await asyncio.gather(*first)
        assert gone.cancelled()

    run(scenario)


@pytest.mark.parametrize("aside", [False, True])
def test_a_defect_is_told_to_everybody_and_the_line_goes_on(aside):
    def broken(calls):
        raise ZeroDivisionError

    async def main(executor):
        lined = Line(broken, 30.0, TimeoutError, executor)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await lined.ask("x")

    if not aside:
        asyncio.run(main(None))
        return
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(main(executor))


def test_who_asked_first_and_went_away_leaves_nobody_waiting():
    """In the very round in which others asked too."""

    def work(calls):
        return [f"answer to {call}" for call in calls]

    async def main():
        lined = Line(work, 30.0, TimeoutError)
        gone = asyncio.ensure_future(lined.ask("gone"))
        stays = [asyncio.ensure_future(lined.ask(number)) for number in range(3)]
        await asyncio.sleep(0)
        gone.cancel()
        found = await asyncio.wait_for(asyncio.gather(*stays), 10)
        assert found == [f"answer to {number}" for number in range(3)]
        alone = asyncio.ensure_future(lined.ask("alone"))
        await asyncio.sleep(0)
        alone.cancel()
        assert await asyncio.wait_for(lined.ask("next"), 10) == "answer to next"
        assert gone.cancelled()

    asyncio.run(main())


@pytest.mark.parametrize("found", [ZeroDivisionError(), ["too few"]])
def test_a_defect_with_several_leaves_each_to_be_answered_apart(found, caplog):
    def broken(calls):
        if isinstance(found, Exception):
            raise found
        return found

    async def main():
        lined = Line(broken, 30.0, TimeoutError)
        asked = (lined.ask(number) for number in range(3))
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in ended] == [Apart] * 3

    asyncio.run(main())
    assert "3 calls together" in caplog.text


def test_a_refusal_of_all_is_told_to_all():
    def refused(calls):
        raise Denied("no")

    async def main():
        lined = Line(refused, 30.0, TimeoutError)
        asked = (lined.ask(number) for number in range(3))
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in ended] == [Denied] * 3

    asyncio.run(main())


def test_in_the_loop_itself_what_comes_at_once_is_one_batch_and_what_comes_meanwhile_the_next():
    batches = []

    def work(calls):
        batches.append(list(calls))
        return [f"answer to {call}" for call in calls]

    async def main():
        lined = Line(work, 30.0, TimeoutError)
        found = await asyncio.gather(*(lined.ask(number) for number in range(5)))
        assert found == [f"answer to {number}" for number in range(5)]
        again = [asyncio.ensure_future(lined.ask(number)) for number in range(3)]
        await asyncio.gather(*again)
        assert await lined.ask("alone") == "answer to alone"

    asyncio.run(main())
    assert batches == [[0, 1, 2, 3, 4], [0, 1, 2], ["alone"]]


def test_in_the_loop_itself_others_get_their_turn_between_two_batches():
    """The loop reads what has come in before it takes the next batch."""
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        theirs, ours = socket.socketpair()
        with theirs, ours:
            ours.setblocking(False)
            loop.add_reader(ours, lambda: seen.append(ours.recv(10)))

            def work(calls):
                theirs.send(b"x")
                seen.append(list(calls))
                return calls

            lined = Line(work, 30.0, TimeoutError)
            first = asyncio.ensure_future(lined.ask(1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.gather(first, lined.ask(2))
            await asyncio.sleep(0.05)
            loop.remove_reader(ours)

    asyncio.run(main())
    assert seen == [[1], b"x", [2], b"x"]


def test_after_a_slow_batch_the_loop_does_none_until_one_was_fast_again(monkeypatch):
    """Somebody has locked the database: nobody else is held up by that but for a moment."""
    monkeypatch.setattr(line, "SLOW_SECONDS", 0.2)
    held = {"slow": 0.4, "fast": 0.0}
    inside = []

    def work(calls):
        inside.append(threading.current_thread() is threading.main_thread())
        time.sleep(max(held[call] for call in calls))
        return calls

    async def main(aside):
        lined = Line(work, 30.0, TimeoutError, aside, at_once=True)
        for call in ("fast", "slow", "slow", "fast", "fast"):
            assert await lined.ask(call) == call

    with ThreadPoolExecutor(1) as aside:
        asyncio.run(main(aside))
    assert inside == [True, True, False, False, True]


def test_too_many_are_refused(monkeypatch):
    monkeypatch.setattr(line, "MOST_WAITING", 3)

    async def scenario(lined, work):
        first = await begun(lined, work)
        waiting = [asyncio.ensure_future(lined.ask(n)) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Throttled) as refused:
            await lined.ask("more")
        assert refused.value.code == "busy"
        work.held.set()
        await asyncio.gather(*first, *waiting)

    run(scenario)


def test_what_nobody_knows_the_end_of_is_told_so_and_a_late_end_changes_nothing():
    async def scenario(lined, work):
        waiting = [asyncio.ensure_future(lined.ask(call)) for call in ("a", "behind it")]
        for found in await asyncio.gather(*waiting, return_exceptions=True):
            assert str(found) == "overdue"
        work.held.set()
        assert await lined.ask("b") == "answer to b"

    run(scenario, longest=0.3)
