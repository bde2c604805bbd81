"""HTTP/1.1 by the standard library, bounded: the connecting, the whole answer and its size. TLS but on loopback."""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import ssl
import time
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from ostiary.doors.servers.wire.message import MOST_BYTES
from ostiary.errors import UsageError

# X509_V_ERR_…: x509_vfy.h of OpenSSL
NOT_NOW, OTHER_NAME = frozenset({9, 10}), frozenset({62, 64})
SECONDS = 20.0  # for one call, all of it
CONNECT_SECONDS = 10.0


class Place:
    """Where a URL leads. UsageError for what is no URL of a service, and for plain http to anywhere but loopback.

    ``ca_file`` holds the authorities to trust, in PEM; "" for the system's.
    """

    def __init__(self, url: str, ca_file: str = "") -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host = ""
        if not host or parts.scheme not in ("https", "http") or parts.username or not plain(url):
            raise UsageError(
                f"cannot use {url!r}",
                why="it is no URL of the form https://HOST[:PORT]",
                fix="run: ostiary login --control https://HOST",
            )
        if parts.scheme == "http" and not loopback(host):
            raise UsageError(
                f"cannot use {url}",
                why="tokens would go over the network in the clear",
                fix=f"write it as https://{parts.netloc}",
            )
        self.host = host
        self.port = port or (443 if parts.scheme == "https" else 80)
        self.path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._tls = tls(ca_file) if parts.scheme == "https" else None

    def open(self) -> http.client.HTTPConnection:
        """A connection, made. OSError when there is none."""
        connection: http.client.HTTPConnection
        if self._tls:
            connection = http.client.HTTPSConnection(
                self.host, self.port, timeout=CONNECT_SECONDS, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=CONNECT_SECONDS)
        try:
            connection.connect()
        except OSError:
            connection.close()
            raise
        return connection


def plain(url: str) -> bool:
    """Whether a URL has only letters that mean nothing to a shell or a line."""
    return url.isascii() and url.isprintable() and not set(url) & set(" \"'\\`<>{}|^$;")


def loopback(host: str) -> bool:
    """Whether a host of a URL is this machine, without asking anybody."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise UsageError(
            f"cannot use {ca_file} as certificates of the control plane's authority",
            why=reason(error),
            fix="export OSTIARY_CONTROL_CA=FILE with certificates in PEM",
        ) from error


def answered(
    connection: http.client.HTTPConnection, ends: float, most: int = MOST_BYTES
) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer and its body. TimeoutError when not all of it is there by ``ends``.

    OSError when it is cut off, or longer than ``most`` bytes.
    """
    connection.response_class = partial(_Answer, ends=ends)  # type: ignore[assignment]  # only ever called
    answer = connection.getresponse()
    parts, size = [], 0
    while part := answer.read1(65_536):
        parts.append(part)
        size += len(part)
        if size > most:
            raise OSError(f"the answer is longer than {most} bytes")
    if answer.length:
        raise OSError("the answer was cut off")
    answer.close()
    if connection.sock:
        connection.sock.settimeout(CONNECT_SECONDS)
    return answer, b"".join(parts)


class _Answer(http.client.HTTPResponse):
    """All of it by ``ends``: its first line, each header and each size of a chunk may come letter by letter."""

    def __init__(self, sock: socket.socket, *more: Any, ends: float, **settings: Any) -> None:
        super().__init__(sock, *more, **settings)
        self.fp.close()
        self.fp = io.BufferedReader(_Timed(sock, ends))


class _Timed(io.RawIOBase):
    """What a socket receives, until a moment of ``time.monotonic``."""

    def __init__(self, sock: socket.socket, ends: float) -> None:
        self._sock, self._ends = sock, ends
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(min(left, CONNECT_SECONDS))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def speaks_plainly(error: Exception) -> bool:
    """Whether who was asked for TLS answers without it."""
    return isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER"


def reason(error: Exception) -> str:
    """Why there was no answer, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        message = error.verify_message.rstrip(".")
        return f"its certificate is not trusted: {message[:1].lower()}{message[1:]}"
    if speaks_plainly(error):
        return "it speaks no TLS there"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "it closed the connection without an answer"
    if isinstance(error, TimeoutError):
        return "no whole answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def advice(error: Exception, naming: str) -> str:
    """What to do about a certificate that is not trusted, "" for another error. ``naming`` is how authorities are named."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return ""
    if error.verify_code in NOT_NOW:
        return "see this machine's clock by: date -u; if it is right, the service needs a new certificate"
    if error.verify_code in OTHER_NAME:
        return "use the name that is in its certificate"
    return f"name the authority of its certificate: {naming}"
