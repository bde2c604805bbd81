"""HTTP connections that are not waited for: a request must come whole and soon, its head small, or the connection is closed.

uvicorn bounds none of it by itself when it parses by httptools, and takes what comes behind a body in chunks (RFC 9112, 7.1.2)
for fields of the head. How large a body may be is bounded by ``incoming.py``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_SECONDS = 10.0
BODY_SECONDS = 20.0  # after the head
MOST_HEAD = 64 * 1024  # bytes; a proof by an RSA key has some 3,000
FAREWELL_SECONDS = 0.3  # TLS asks for an answer to its end, and a client that is idle reads nothing
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

_Protocol: Any = AutoHTTPProtocol


class PatientProtocol(_Protocol):  # type: ignore[misc] # uvicorn chooses it when it is imported
    """uvicorn's own, with an end to its patience."""

    _due: asyncio.TimerHandle | None = None
    _cut: asyncio.TimerHandle | None = None
    _ending = False
    _head = 0
    _headed = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._cut is not None:
            self._cut.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        between = self._is_between
        super().data_received(data)
        if self._is_between:
            self._head = self._head + len(data) if between else len(data)
            if self._head > MOST_HEAD:
                self.transport.close()
            self._await(HEAD_SECONDS)
            return
        if between or not self._has_more:
            self._disarm()
        if self._has_more:
            self._await(BODY_SECONDS)

    def on_message_begin(self) -> None:
        """As the two below called by httptools only; h11 keeps trailers apart itself."""
        self._headed = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._headed = True
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of the head alone: who asks, and from where, has been judged when a trailer comes, or is while it comes."""
        if not self._headed:
            super().on_header(name, value)

    def shutdown(self) -> None:
        """The server ends: what is under way is answered, and then, as where nothing is, nobody is waited for."""
        super().shutdown()
        self._ending = True
        if self._is_between:
            self._cut_soon()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._ending:
            self._cut_soon()

    def _cut_soon(self) -> None:
        if self._cut is None and self.transport is not None:
            self._cut = self.loop.call_later(FAREWELL_SECONDS, self.transport.abort)

    @property
    def _is_between(self) -> bool:
        """Whether the next request's head is not whole yet."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _has_more(self) -> bool:
        """Whether the body of the request is not whole yet."""
        return self.cycle is not None and self.cycle.more_body

    def _await(self, seconds: float) -> None:
        if self._due is None:
            self._due = self.loop.call_later(seconds, self._late)

    def _disarm(self) -> None:
        self._head = 0
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _late(self) -> None:
        self._due = None
        if self.transport is None or not (self._is_between or self._has_more):
            return
        if not self._is_between:
            self.transport.write(_TOO_SLOW)
        self.transport.close()
