"""Calls answered together: what waits becomes one batch, each has an end of its own, and too many are refused."""

from __future__ import annotations

import asyncio
import threading

import pytest

from ostiary.doors.servers.control import line
from ostiary.doors.servers.control.line import Line
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
    lined = Line(work)

    async def main():
        try:
            return await asyncio.wait_for(scenario(lined, work), 20)
        finally:
            work.held.set()
            lined.close()

    return asyncio.run(main())


async def begun(lined, work):
    """Every thread of the line is busy with a call of its own."""
    first = []
    for number in range(line.THREADS):
        first.append(asyncio.ensure_future(lined.ask(f"first {number}")))
        await asyncio.sleep(0)
    for _ in range(2000):
        if len(work.batches) == line.THREADS:
            return first
        await asyncio.sleep(0.005)
    raise AssertionError("the threads did not begin")


def test_alone_a_call_is_answered_at_once_and_what_waits_is_one_batch():
    async def scenario(lined, work):
        first = await begun(lined, work)
        later = [asyncio.ensure_future(lined.ask(number)) for number in range(20)]
        await asyncio.sleep(0.01)
        work.held.set()
        answers = await asyncio.gather(*first, *later)
        assert answers[len(first) :] == [f"answer to {number}" for number in range(20)]
        assert [len(batch) for batch in work.batches[: line.THREADS]] == [1] * line.THREADS
        assert work.batches[line.THREADS] == list(range(20))

    run(scenario)


def test_no_batch_is_larger_than_allowed():
    async def scenario(lined, work):
        first = await begun(lined, work)
        later = [asyncio.ensure_future(lined.ask(n)) for n in range(3 * line.LARGEST_BATCH)]
        await asyncio.sleep(0.01)
        work.held.set()
        await asyncio.gather(*first, *later)
        assert max(map(len, work.batches)) == line.LARGEST_BATCH
        assert sum(map(len, work.batches)) == line.THREADS + len(later)

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
        lined = Line(broken)
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
