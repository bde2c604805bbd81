"""Talk to ``ostiary serve``: the messages of ``wire`` over HTTP/1.1, with TLS but on loopback, kept alive.

Everything is bounded: the connecting, the whole answer, its size. A refusal becomes an error of the tree, and keeps
its code. Safe for several threads; a connection serves one of them at a time.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar, overload

from ostiary.doors.servers.client import bounded_http
from ostiary.doors.servers.client.bounded_http import (
    Place,
    advice,
    answered,
    loopback,
    reason,
    speaks_plainly,
)
from ostiary.doors.servers.client.purposes import purpose
from ostiary.doors.servers.client.refusals import refused
from ostiary.doors.servers.wire.message import (
    IDLE_SECONDS,
    MOST_BYTES,
    InvalidMessage,
    decode,
    encode,
)
from ostiary.doors.servers.wire.paths import CERTIFICATES
from ostiary.doors.servers.wire.person import Refusal
from ostiary.errors import Unreachable

M = TypeVar("M")
LONGER = {"/v1/servers": 64 * 1024 * 1024}  # bytes of an answer: of every server of an org
MOST_IDLE = 4  # connections kept for the next call
KEPT_SECONDS = IDLE_SECONDS - 3.0  # else one may be closed in the moment that it is used
READ_ONLY = frozenset({"GET", "HEAD"})
CLOSED = (ConnectionError, ssl.SSLEOFError)
Authorize = Callable[[str, str, bytes], Mapping[str, str]]  # headers for method, path and body


def nobody(_method: str, _path: str, _body: bytes) -> Mapping[str, str]:
    """The calls of who has not signed in."""
    return {}


class Control:
    """One control plane. ``authorize`` gives the headers that show whose a call is; ``ca_file`` "" for the system's.

    UsageError for a URL that cannot be one; plain http only to loopback.
    """

    def __init__(self, url: str, ca_file: str = "", authorize: Authorize = nobody) -> None:
        self.url = url.rstrip("/")
        self._place = Place(self.url, ca_file)
        self._authorize = authorize
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []  # with the end of each
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @overload
    def call(
        self, method: str, path: str, message: Any = ..., kind: None = ..., *, what: str = ...
    ) -> None: ...
    @overload
    def call(
        self, method: str, path: str, message: Any, kind: type[M], *, what: str = ...
    ) -> M: ...
    @overload
    def call(
        self, method: str, path: str, message: Any = ..., *, kind: type[M], what: str = ...
    ) -> M: ...
    def call(
        self,
        method: str,
        path: str,
        message: Any = None,
        kind: type[M] | None = None,
        *,
        what: str = "",
    ) -> M | None:
        """Send ``message`` and give the answer, a message of ``kind``; None where no answer is expected (204).

        Denied, NotFound, Conflict, StalePlan (412), Throttled or Unreachable with the control plane's code, why and
        fix; Unreachable with ``maybe_done`` where a change was sent and nobody knows whether it was made. ``what`` is what the
        call is for where that is not as in ``purposes.py``.
        """
        status, body = self.exchange(method, path, b"" if message is None else encode(message))
        if not http.client.OK <= status < http.client.MULTIPLE_CHOICES:  # nobody is redirected
            what = f"cannot {what or purpose(method, path, message)}"
            raise refused(what, status, refusal_in(status, body, self.url))
        if kind is None:
            return None
        try:
            return decode(kind, body, LONGER.get(path, MOST_BYTES))
        except InvalidMessage as wrong:
            raise Unreachable(
                f"cannot {what or purpose(method, path, message)}",
                why=f"cannot read the answer of {self.url}: {wrong}; HTTP status {status}",
                fix="see that the URL is that of ostiary serve, of this version",
                code="invalid-answer",
                maybe_done=method not in READ_ONLY,
            ) from wrong

    def exchange(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer, whatever it is. Unreachable without one.

        What changes nothing is asked again where a connection from before ends without an answer: RFC 9112, 9.3.1.
        """
        headers = {"Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        headers |= self._authorize(method, path, body)
        ends = time.monotonic() + bounded_http.SECONDS
        while True:
            kept = self._take()
            connection = kept or self._opened()
            try:
                connection.request(method, self._place.path + path, body or None, headers)
                answer, read = answered(connection, ends, LONGER.get(path, MOST_BYTES))
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if kept and isinstance(error, CLOSED) and _can_be_repeated(method, path):
                    continue
                raise self._unreachable(error, maybe_done=method not in READ_ONLY) from error
            except BaseException:
                connection.close()
                raise
            self._give_back(connection, answer)
            return answer.status, read

    def close(self) -> None:
        """Close the connections that are kept; a later call opens one again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _take(self) -> http.client.HTTPConnection | None:
        """A connection from before that the other side has not closed meanwhile."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection, ends = self._idle.pop()
            if time.monotonic() < ends and connection.sock and not _is_over(connection.sock):
                return connection
            connection.close()

    def _opened(self) -> http.client.HTTPConnection:
        try:
            return self._place.open()
        except OSError as error:
            raise self._unreachable(error, maybe_done=False) from error

    def _give_back(
        self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse
    ) -> None:
        with self._lock:
            if not answer.will_close and len(self._idle) < MOST_IDLE:
                self._idle.append((connection, time.monotonic() + KEPT_SECONDS))
                return
        connection.close()

    def _unreachable(self, error: Exception, *, maybe_done: bool) -> Unreachable:
        otherwise = "see that it runs; another one: ostiary login --control URL"
        if speaks_plainly(error) and loopback(self._place.host):
            otherwise = f"run: ostiary login --control http{self.url.removeprefix('https')}"
        trusting = (
            f"ostiary login --control {self.url} --ca FILE, or export OSTIARY_CONTROL_CA=FILE"
        )
        return Unreachable(
            f"cannot reach the control plane at {self.url}",
            why=reason(error),
            fix=advice(error, trusting) or otherwise,
            code="control-unreachable",
            maybe_done=maybe_done,
        )


def _can_be_repeated(method: str, path: str) -> bool:
    """Whether twice is as good as once: what reads, and a certificate, which is for the same key. The control plane takes the
    proof of any other request once.
    """
    return method in READ_ONLY or path == CERTIFICATES


def _is_over(idle: socket.socket) -> bool:
    """Whether the other side has closed it, or sent what nobody asked for. By poll: select knows numbers below 1,024 only."""
    asked = select.poll()
    asked.register(idle, select.POLLIN)
    return bool(asked.poll(0))


def refusal_in(status: int, body: bytes, url: str) -> Refusal:
    """What the control plane says of it; said for it where the answer is somebody else's, as a proxy's."""
    try:
        return decode(Refusal, body)
    except InvalidMessage:
        why = f"HTTP status {status} of {url}, and no words of ostiary serve"
        return Refusal("no-refusal", why)
