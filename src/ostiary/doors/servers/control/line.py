"""Calls that come while others are being answered are answered together: one look-up, one transaction, one wake-up for all.

There is no timer: alone, a call is answered at once; under load, a batch is as large as the one before it was slow. Beside
a thread for each call this saves most of the time that threads spend on waiting for one another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from ostiary.errors import Throttled

C = TypeVar("C")
THREADS = 1
LARGEST_BATCH = 64
MOST_WAITING = 2000


class Apart(Exception):
    """This call cannot be answered together with others."""


class Line(Generic[C]):
    """Of one endpoint, in one event loop. ``work`` gives an answer, or an exception, for each call."""

    def __init__(self, work: Callable[[Sequence[C]], Sequence[Any]]) -> None:
        self._work = work
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="line")
        self._waiting: list[tuple[C, asyncio.Future[Any]]] = []
        self._busy = 0

    async def ask(self, call: C) -> Any:
        """The answer. Throttled when too many wait already."""
        if len(self._waiting) >= MOST_WAITING:
            why = f"{MOST_WAITING} requests wait already"
            raise Throttled("cannot answer now", why=why, code="busy")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((call, answer))
        if self._busy < THREADS:
            self._begin(loop)
        return await answer

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._waiting[:LARGEST_BATCH]
        del self._waiting[:LARGEST_BATCH]
        self._busy += 1
        self._threads.submit(self._run, loop, batch)

    def _run(
        self, loop: asyncio.AbstractEventLoop, batch: list[tuple[C, asyncio.Future[Any]]]
    ) -> None:
        try:
            found = self._work([call for call, _ in batch])
        except Exception as error:  # noqa: BLE001 - told to everybody who waits, whatever it is
            found = [error] * len(batch)
        loop.call_soon_threadsafe(self._ended, loop, batch, found)

    def _ended(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[C, asyncio.Future[Any]]],
        found: Sequence[Any],
    ) -> None:
        self._busy -= 1
        if self._waiting:
            self._begin(loop)
        for (_, answer), one in zip(batch, found, strict=True):
            if answer.cancelled():
                continue
            if isinstance(one, Exception):
                answer.set_exception(one)
            else:
                answer.set_result(one)
