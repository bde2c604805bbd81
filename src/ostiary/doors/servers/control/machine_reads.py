"""What is read from afar for somebody who signs in, bounded in all: in bytes, and in seconds from first to last.

The timeouts of HTTP are for each read: who answers a byte now and then is never late. So the answer is waited for no
longer than it may take, whatever it waits in (names, connections, headers), and then its connection is cut.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import httpx2

AT_ONCE = (
    32  # a reading that waits for a name or a connection cannot be cut, and is one until it ends
)


class TooLong(Exception):
    """An answer of more bytes than anybody needs."""


class Reads:
    """Reads by ``http``. Threads may share it; what one of these is kept waiting by is no other's."""

    def __init__(self, http: httpx2.Client, at_once: int = AT_ONCE) -> None:
        self._http = http
        self._slots = threading.BoundedSemaphore(at_once)

    def get(
        self, url: str, *, until: float, most: int, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body of a GET, without redirects. TooLong when it is longer than ``most`` bytes.

        ``until`` is of the monotonic clock; httpx2.TimeoutException after it, and at once when too much is waited for.
        """
        if not self._slots.acquire(blocking=False):
            raise httpx2.PoolTimeout("too many answers are waited for already")
        reading = _Reading(self._http, url, until, most, {**(headers or {}), "connection": "close"})
        reading.done.add_done_callback(lambda _: self._slots.release())
        threading.Thread(target=reading.run, name="reads", daemon=True).start()
        try:
            return reading.done.result(max(0.0, until - time.monotonic()))
        except TimeoutError:
            reading.cut()
            raise _late() from None


class _Reading:
    """One, in a thread of its own: whoever asked can leave it. Its connection is its own too, so that it can be cut."""

    def __init__(
        self,
        http: httpx2.Client,
        url: str,
        until: float,
        most: int,
        headers: Mapping[str, str],
    ) -> None:
        self._http = http
        self._url = url
        self._until = until
        self._most = most
        self._headers = headers
        self._socket: socket.socket | None = None
        self.done: Future[tuple[int, bytes]] = Future()

    def run(self) -> None:
        try:
            self.done.set_result(self._read())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits, whatever it is
            self.done.set_exception(error)

    def cut(self) -> None:
        """Whoever reads from it finds its end. That of SSLSocket would take TLS off under the reader."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _read(self) -> tuple[int, bytes]:
        with self._http.stream(
            "GET",
            self._url,
            headers=self._headers,
            follow_redirects=False,
            timeout=max(0.001, self._until - time.monotonic()),
            extensions={"trace": self._connected},
        ) as response:
            body = b""
            for part in response.iter_bytes():
                body += part
                if len(body) > self._most:
                    raise TooLong
                if self._is_late():
                    raise _late()
            return response.status_code, body

    def _connected(self, event: str, told: Mapping[str, Any]) -> None:
        """The connection as it is made, before there is any answer (httpcore's ``trace``)."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._socket = told["return_value"].get_extra_info("socket")
            if self._is_late():  # who asked may have left before there was anything to cut
                self.cut()

    def _is_late(self) -> bool:
        return time.monotonic() >= self._until


def _late() -> httpx2.ReadTimeout:
    return httpx2.ReadTimeout("it took too long to answer in all")
