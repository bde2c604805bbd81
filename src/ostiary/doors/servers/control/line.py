"""Calls that come while others are being answered are answered together: one look-up, one transaction for all.

There is no timer: alone, a call is answered at once; under load, a batch is as large as the one before it was slow.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from ostiary.errors import OstiaryError, Throttled

LOG = logging.getLogger("ostiary.control")
C = TypeVar("C")
LARGEST_BATCH = 64
MOST_WAITING = 2000
SLOW_SECONDS = 0.5  # of a batch: a local database is faster a hundred times, unless it is locked


class Apart(Exception):
    """This call cannot be answered together with others."""


@dataclass(frozen=True, slots=True)
class _Asked(Generic[C]):
    call: C
    answer: asyncio.Future[Any]


class Line(Generic[C]):
    """Of one endpoint, in one event loop. ``work`` gives an answer or an exception for each call.

    It is done by ``aside``, if given. With ``at_once``, or without, the loop itself does it: to wake a thread and to share the
    interpreter with it costs more than what a local database needs. After a slow batch those that follow are done aside, as
    long as they are slow. Who asks while it is done aside and is not answered for ``longest`` seconds is told ``overdue()``.
    """

    def __init__(
        self,
        work: Callable[[Sequence[C]], Sequence[Any]],
        longest: float,
        overdue: Callable[[], Exception],
        aside: Executor | None = None,
        *,
        at_once: bool = False,
    ) -> None:
        self._work = work
        self._longest = longest
        self._overdue = overdue
        self._aside = aside
        self._at_once = at_once or aside is None
        self._is_slow = False
        self._waiting: deque[_Asked[C]] = deque()
        self._busy = False

    async def ask(self, call: C) -> Any:
        """The answer. Throttled when too many wait already."""
        if len(self._waiting) >= MOST_WAITING:
            why = f"{MOST_WAITING} requests wait already"
            raise Throttled("cannot answer now", why=why, code="busy")
        loop = asyncio.get_running_loop()
        is_first = not self._busy and self._is_inside
        if is_first and await self._is_alone(loop):
            return self._answered(loop, call)
        asked = _Asked(call, loop.create_future())
        (self._waiting.appendleft if is_first else self._waiting.append)(asked)
        self._begin(loop)
        if self._is_inside:
            return await asked.answer
        timer = loop.call_later(self._longest, self._too_late, asked)
        try:
            return await asked.answer
        finally:
            timer.cancel()

    async def _is_alone(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether nobody else asks in the same round of the loop. Nothing is under way."""
        self._busy = True
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._busy = False
            if self._waiting:
                self._begin(loop)
            raise
        self._busy = False
        return not self._waiting

    def _answered(self, loop: asyncio.AbstractEventLoop, call: C) -> Any:
        """The answer, without a place in the line: it would cost as much as a look-up."""
        began = loop.time()
        (found,) = self._answers([call])
        self._is_slow = loop.time() - began > SLOW_SECONDS
        if isinstance(found, BaseException):
            raise found
        return found

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._busy:
            self._busy = True
            loop.call_soon(self._gather, loop, len(self._waiting))

    @property
    def _is_inside(self) -> bool:
        """Whether the loop itself does the work."""
        return self._aside is None or (self._at_once and not self._is_slow)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        size = min(len(self._waiting), LARGEST_BATCH)
        batch = [self._waiting.popleft() for _ in range(size)]
        calls = [one.call for one in batch]
        if not batch:
            self._busy = False
        elif self._is_inside:
            began = loop.time()
            _settle(batch, self._answers(calls))
            self._is_slow = loop.time() - began > SLOW_SECONDS
            self._gather(loop, -1)
        else:
            done = loop.run_in_executor(self._aside, self._answers, calls)
            done.add_done_callback(partial(self._ended, loop, batch, loop.time()))

    def _gather(self, loop: asyncio.AbstractEventLoop, before: int) -> None:
        """Whose answers leave in one round of the loop ask again in one of the next: as long as each brings somebody, one more."""
        if before < len(self._waiting) < LARGEST_BATCH:
            again = partial(self._gather, loop, len(self._waiting))
            loop.call_soon(loop.call_soon, loop.call_soon, again)
        else:
            self._next(loop)

    def _ended(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: Sequence[_Asked[C]],
        began: float,
        done: asyncio.Future[Sequence[Any]],
    ) -> None:
        if not done.cancelled():
            _settle(batch, done.result())
            self._is_slow = loop.time() - began > SLOW_SECONDS
            self._next(loop)

    def _answers(self, calls: Sequence[C]) -> Sequence[Any]:
        """A refusal of all is told to all; after a defect of ours each is answered apart, so that it is nobody else's."""
        try:
            found = self._work(calls)
            assert len(found) == len(calls), f"{len(found)} answers to {len(calls)} calls"
        except OstiaryError as error:
            return [error] * len(calls)
        except Exception as error:
            if len(calls) == 1:
                return [error]
            LOG.exception("a defect in what answers %d calls together", len(calls))
            return [Apart() for _ in calls]
        return found

    def _too_late(self, asked: _Asked[C]) -> None:
        _settle([asked], [self._overdue()])


def _settle(batch: Sequence[_Asked[Any]], found: Sequence[Any]) -> None:
    """Some have gone away, or were told that it is too late."""
    for asked, one in zip(batch, found, strict=True):
        if asked.answer.done():
            continue
        if isinstance(one, BaseException):
            asked.answer.set_exception(one)
        else:
            asked.answer.set_result(one)
