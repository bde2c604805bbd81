"""Calls answered together: what waits becomes one batch, each has an end of its own, and too many are refused."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future

import pytest

from ostiary.doors.servers.control import line
from ostiary.doors.servers.control.line import Later, Line
from ostiary.errors import Denied, Throttled


class Work:
    """Keeps batches as they come; the first waits until it is let go."""

    def __init__(self):
        self.batches, self.held = [], threading.Event()

    def __call__(self, calls):
        self.batches.append(list(calls))
        assert self.held.wait(10)
        return [Denied("no") if call == "bad" else f"answer to {call}" for call in calls]


def run(scenario):
    work = Work()
    lined = Line(work, 30.0, TimeoutError)

    async def main():
        try:
            return await asyncio.wait_for(scenario(lined, work), 20)
        finally:
            work.held.set()
            lined.close()

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


def test_a_defect_is_told_to_everybody_and_the_line_goes_on(monkeypatch):
    def broken(calls):
        raise ZeroDivisionError

    async def main():
        lined = Line(broken, 30.0, TimeoutError)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await lined.ask("x")
        lined.close()

    asyncio.run(main())


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


def laters(finish):
    """Answers that wait for futures, which ``finish`` ends in a thread of its own."""
    made = []

    def work(calls):
        batch = [Later(Future(), f"answer to {call}") for call in calls]
        made.extend(batch)
        threading.Thread(target=finish, args=(batch,)).start()
        return batch

    return Line(work, 0.3, lambda: TimeoutError("overdue"))


def test_what_must_be_durable_first_is_answered_after_that():
    def finish(batch):
        for one in batch:
            time.sleep(0.01)
            if one.answer == "answer to bad":
                one.done.set_exception(Denied("not written"))
            else:
                one.done.set_result(None)

    async def main():
        lined = laters(finish)
        found = await asyncio.gather(
            *(lined.ask(call) for call in ("a", "bad", "b")), return_exceptions=True
        )
        lined.close()
        assert found[0] == "answer to a"
        assert isinstance(found[1], Denied)
        assert found[2] == "answer to b"

    asyncio.run(main())


def test_what_nobody_knows_the_end_of_is_told_so_and_a_late_end_changes_nothing():
    held = threading.Event()

    def finish(batch):
        held.wait(10)
        for one in batch:
            one.done.set_result(None)

    async def main():
        lined = laters(finish)
        with pytest.raises(TimeoutError, match="overdue"):
            await lined.ask("a")
        held.set()
        await asyncio.sleep(0.05)
        lined.close()

    asyncio.run(main())
