"""HTTP connections that are not waited for: a request's head must come whole, soon and small, or the connection is closed.

uvicorn bounds neither by itself when it parses by httptools. Bodies are bounded by ``app.py``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_SECONDS = 10.0
MOST_HEAD = 64 * 1024  # bytes; a proof by an RSA key has some 3,000

_Protocol: Any = AutoHTTPProtocol


class PatientProtocol(_Protocol):  # type: ignore[misc] # uvicorn chooses it when it is imported
    """uvicorn's own, with an end to its patience."""

    _due: asyncio.TimerHandle | None = None
    _head = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        between = self._is_between
        super().data_received(data)
        if not self._is_between:
            self._disarm()
            return
        self._head = self._head + len(data) if between else len(data)
        if self._head > MOST_HEAD:
            self.transport.close()
        self._await_head()

    @property
    def _is_between(self) -> bool:
        """Whether the next request's head is not whole yet."""
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        if self._due is None:
            self._due = self.loop.call_later(HEAD_SECONDS, self._late)

    def _disarm(self) -> None:
        self._head = 0
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _late(self) -> None:
        self._due = None
        if self._is_between and self.transport is not None:
            self.transport.close()
