"""News of projects for requests that wait: one reading of all generations, however many wait."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.tables import projects

SECONDS = 0.5  # between readings: what a removal takes to be told, at most


class News:
    """Wakes whoever waits for a project to move on. Lives in one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._generations: Mapping[str, int] = {}
        self._moved = asyncio.Condition()
        self._ended = False

    async def wait(self, project_id: str, generation: int, seconds: float) -> bool:
        """Whether the project has moved on from ``generation`` within ``seconds``, or before the process ends."""
        try:
            async with asyncio.timeout(seconds), self._moved:
                await self._moved.wait_for(
                    lambda: (
                        self._ended or self._generations.get(project_id, generation) > generation
                    )
                )
        except TimeoutError:
            return False
        return not self._ended

    async def end(self) -> None:
        """Let go whoever waits: the process ends, and another one may answer them."""
        async with self._moved:
            self._ended = True
            self._moved.notify_all()

    async def run(self) -> None:
        """Read until cancelled; while the database is away, there are no news."""
        while True:
            try:
                found = await run_in_threadpool(self._read)
            except SQLAlchemyError:
                found = self._generations
            if found != self._generations:
                async with self._moved:
                    self._generations = found
                    self._moved.notify_all()
            await asyncio.sleep(SECONDS)

    def _read(self) -> Mapping[str, int]:
        with self._database.reading() as connection:
            rows = connection.execute(select(projects.c.id, projects.c.generation))
            return {row.id: row.generation for row in rows}
