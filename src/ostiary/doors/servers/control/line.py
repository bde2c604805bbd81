"""Calls that come while others are being answered are answered together: one look-up, one transaction, one wake-up for all.

There is no timer: alone, a call is answered at once; under load, a batch is as large as the one before it was slow. The
line's one thread never waits for the disk: an answer that must not leave before something is durable is given as ``Later``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from ostiary.errors import Throttled

C = TypeVar("C")
LARGEST_BATCH = 64
MOST_WAITING = 2000


class Apart(Exception):
    """This call cannot be answered together with others."""


@dataclass(frozen=True, slots=True)
class Later:
    """``answer`` is the answer once ``done`` is, whose exception is the answer otherwise. They are done in their order."""

    done: Future[Any]
    answer: Any


@dataclass(frozen=True, slots=True)
class _Asked(Generic[C]):
    loop: asyncio.AbstractEventLoop
    call: C
    answer: asyncio.Future[Any]

    def settle(self, found: Any) -> None:
        """In the event loop."""
        if self.answer.done():
            return
        if isinstance(found, BaseException):
            self.answer.set_exception(found)
        else:
            self.answer.set_result(found)


class Line(Generic[C]):
    """Of one endpoint, in one event loop. ``work`` gives an answer, an exception, or ``Later``, for each call.

    Who is not answered ``longest`` seconds after that is told ``overdue()``.
    """

    def __init__(
        self,
        work: Callable[[Sequence[C]], Sequence[Any]],
        longest: float,
        overdue: Callable[[], Exception],
    ) -> None:
        self._work = work
        self._longest = longest
        self._overdue = overdue
        self._queue: SimpleQueue[_Asked[C] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def ask(self, call: C) -> Any:
        """The answer. Throttled when too many wait already."""
        if self._queue.qsize() >= MOST_WAITING:
            why = f"{MOST_WAITING} requests wait already"
            raise Throttled("cannot answer now", why=why, code="busy")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="line", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        asked = _Asked(loop, call, loop.create_future())
        self._queue.put(asked)
        return await asked.answer

    def close(self) -> None:
        self._queue.put(None)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            while len(batch) < LARGEST_BATCH and not self._queue.empty():
                following = self._queue.get()
                if following is None:
                    self._queue.put(None)
                    break
                batch.append(following)
            self._answer(batch)

    def _answer(self, batch: Sequence[_Asked[C]]) -> None:
        try:
            found = self._work([one.call for one in batch])
        except Exception as error:  # noqa: BLE001 - told to everybody who waits, whatever it is
            found = [error] * len(batch)
        pairs = list(zip(batch, found, strict=True))
        loop = batch[0].loop
        now = [(asked, one) for asked, one in pairs if not isinstance(one, Later)]
        if now:
            loop.call_soon_threadsafe(_settle, now)
        later = [(asked, one) for asked, one in pairs if isinstance(one, Later)]
        if later:
            waiting = _Waiting(loop, later, self._longest, self._overdue)
            later[-1][1].done.add_done_callback(waiting.done)


class _Waiting:
    """What of a batch waits for its last ``Later``."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        later: Sequence[tuple[_Asked[Any], Later]],
        longest: float,
        overdue: Callable[[], Exception],
    ) -> None:
        self._loop = loop
        self._later = later
        self._overdue = overdue
        self._timer: asyncio.TimerHandle | None = None
        loop.call_soon_threadsafe(self._begin, longest)

    def done(self, _: Future[Any]) -> None:
        """In whatever thread."""
        self._loop.call_soon_threadsafe(self._end)

    def _begin(self, longest: float) -> None:
        self._timer = self._loop.call_later(longest, self._too_late)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for asked, one in self._later:
            asked.settle(one.done.exception(timeout=0) or one.answer)

    def _too_late(self) -> None:
        for asked, _ in self._later:
            asked.settle(self._overdue())


def _settle(pairs: Sequence[tuple[_Asked[Any], Any]]) -> None:
    for asked, found in pairs:
        asked.settle(found)
