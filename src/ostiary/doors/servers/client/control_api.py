"""Talk to ``ostiary serve``: the messages of ``wire`` over HTTP/1.1, with TLS but on loopback, kept alive.

Everything is bounded: the connecting, the whole answer, its size. A refusal becomes an error of the tree, and keeps
its code. Safe for several threads; a connection serves one of them at a time.
"""

from __future__ import annotations

import http.client
import ipaddress
import select
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self, TypeVar, overload
from urllib.parse import urlsplit

from ostiary.doors.servers.client.refusals import refused
from ostiary.doors.servers.wire.message import MOST_BYTES, InvalidMessage, decode, encode
from ostiary.doors.servers.wire.person import Refusal
from ostiary.errors import Unreachable, UsageError

M = TypeVar("M")
SECONDS = 20.0  # for one call, all of it
CONNECT_SECONDS = 10.0
MOST_IDLE = 4  # connections kept for the next call
READ_ONLY = frozenset({"GET", "HEAD"})


class Proves(Protocol):
    """Adds what proves the caller's device to a request: headers for method, path and body."""

    def proof(self, method: str, path: str, body: bytes) -> Mapping[str, str]: ...


def nobody() -> str:
    """The bearer of who has not signed in."""
    return ""


class Control:
    """One control plane. ``bearer`` gives the session token for each call, "" for none; ``ca_file`` "" for the system's.

    UsageError for a URL that cannot be one; plain http only to loopback.
    """

    def __init__(
        self,
        url: str,
        ca_file: str = "",
        bearer: Callable[[], str] = nobody,
        device: Proves | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._secure, self._host, self._port, self._prefix = _parts(self.url)
        self._tls = _tls(ca_file) if self._secure else None
        self._bearer = bearer
        self._device = device
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @overload
    def call(self, method: str, path: str, message: Any = ..., kind: None = ...) -> None: ...
    @overload
    def call(self, method: str, path: str, message: Any, kind: type[M]) -> M: ...
    @overload
    def call(self, method: str, path: str, message: Any = ..., *, kind: type[M]) -> M: ...
    def call(
        self, method: str, path: str, message: Any = None, kind: type[M] | None = None
    ) -> M | None:
        """Send ``message`` and give the answer, a message of ``kind``; None where no answer is expected (204).

        Denied, NotFound, Conflict, StalePlan (412), Throttled or Unreachable with the control plane's code, why and
        fix; Unreachable with ``maybe_done`` where a change was sent and nobody knows whether it was made.
        """
        status, body = self.exchange(method, path, b"" if message is None else encode(message))
        if status >= http.client.BAD_REQUEST:
            raise refused(f"cannot {method} {path} at {self.url}", status, refusal_in(status, body))
        if kind is None:
            return None
        try:
            return decode(kind, body)
        except InvalidMessage as wrong:
            raise Unreachable(
                f"cannot read the answer to {method} {path} of {self.url}",
                why=f"{wrong}; HTTP status {status}",
                fix="see that the URL is that of ostiary serve, of this version",
                code="invalid-answer",
                maybe_done=method not in READ_ONLY,
            ) from wrong

    def exchange(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer, whatever it is. Unreachable without one."""
        headers = {"Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        if bearer := self._bearer():
            headers["Authorization"] = f"Bearer {bearer}"
        if self._device:
            headers |= self._device.proof(method, path, body)
        ends = time.monotonic() + SECONDS
        connection = self._take() or self._opened()
        try:
            connection.request(method, self._prefix + path, body or None, headers)
            answer = connection.getresponse()
            read = _bounded(answer, connection, ends)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
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
        for connection in idle:
            connection.close()

    def _take(self) -> http.client.HTTPConnection | None:
        """A connection from before that the other side has not closed meanwhile."""
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return None
            if connection.sock and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()

    def _opened(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if self._tls:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=CONNECT_SECONDS, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise self._unreachable(error, maybe_done=False) from error
        return connection

    def _give_back(
        self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse
    ) -> None:
        with self._lock:
            if not answer.will_close and len(self._idle) < MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _unreachable(self, error: Exception, *, maybe_done: bool) -> Unreachable:
        fix = "see that it runs, and OSTIARY_CONTROL"
        if isinstance(error, ssl.SSLCertVerificationError):
            fix = "name the authority of its certificate: export OSTIARY_CONTROL_CA=FILE"
        return Unreachable(
            f"cannot reach the control plane at {self.url}",
            why=_reason(error),
            fix=fix,
            code="control-unreachable",
            maybe_done=maybe_done,
        )


def refusal_in(status: int, body: bytes) -> Refusal:
    """What the control plane says of it; said for it where the answer is somebody else's, as a proxy's."""
    try:
        return decode(Refusal, body)
    except InvalidMessage:
        return Refusal("no-refusal", f"HTTP status {status}, and no words of ostiary serve")


def _bounded(
    answer: http.client.HTTPResponse, connection: http.client.HTTPConnection, ends: float
) -> bytes:
    """The body. TimeoutError when it is not there in time, OSError when it is longer than any message."""
    parts, size = [], 0
    while True:
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if connection.sock:
            connection.sock.settimeout(min(left, CONNECT_SECONDS))
        part = answer.read1(65_536)
        if not part:
            break
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise OSError(f"the answer is longer than {MOST_BYTES} bytes")
    if answer.length:
        raise OSError("the answer was cut off")
    answer.close()
    if connection.sock:
        connection.sock.settimeout(CONNECT_SECONDS)
    return b"".join(parts)


def _parts(url: str) -> tuple[bool, str, int, str]:
    """Whether TLS, host, port and path of a URL. UsageError for what is none, or would go in the clear."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("https", "http") or parts.query or parts.username:
        raise UsageError(
            f"cannot use {url!r} as control plane",
            why="it is no URL of the form https://HOST[:PORT]",
            fix="run: ostiary login --control https://HOST",
        )
    secure = parts.scheme == "https"
    if not secure and not loopback(host):
        raise UsageError(
            f"cannot use {url} as control plane",
            why="tokens would go over the network in the clear",
            fix=f"run: ostiary login --control https://{parts.netloc}",
        )
    return secure, host, port or (443 if secure else 80), parts.path


def loopback(host: str) -> bool:
    """Whether a host of a URL is this machine, without asking anybody."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"cannot use {ca_file} as certificates of the control plane's authority",
            why=_reason(error),
            fix="export OSTIARY_CONTROL_CA=FILE with certificates in PEM",
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no whole answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
