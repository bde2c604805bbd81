"""Talking to the control plane: HTTPS of the standard library, bounded in time and size, each call signed by the host's key.

``https_proxy`` and ``no_proxy`` are honoured; plain HTTP goes to loopback only. Nothing is tried again here: ``loop.py``
knows what can wait.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from ostiary.doors.servers.agent import identity
from ostiary.doors.servers.agent.files import HostError, Paths
from ostiary.doors.servers.wire.host import HEADER, Challenge
from ostiary.doors.servers.wire.message import MOST_BYTES, InvalidMessage, decode

SECONDS = 20
LOOPBACK = ("127.0.0.1", "::1", "localhost")
HTTPS_PORT, HTTP_PORT = 443, 80


# By the end of the path that is asked for.
_WHAT = {
    "challenge": "begin to speak for {name}",
    "enroll": "enroll {name}",
    "state": "ask who may enter {name}",
    "report": "report how {name} is",
    "retire": "retire {name}",
}
# What helps here, by the code of a refusal whose own words are for programs.
_FIX = {
    "bad-proof": "if its host key is another now: run: ostiary agent remove --offline",
    "retired": "run: ostiary agent remove --offline",
    "no-server": "run: ostiary agent remove --offline",
}
_BUSY = (429, 503)


class NoAnswer(HostError):
    """Nobody answered, or not as the control plane does: nothing is known, so nothing changes."""


class Refused(HostError):
    """The control plane said no; ``code`` is its own."""

    def __init__(self, what: str, *, why: str, fix: str, code: str) -> None:
        super().__init__(what, why=why, fix=fix)
        self.code = code


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


class Control:
    """The control plane at ``url``, trusted by ``ca_file`` ("" for the system's authorities). ``name`` is this host's there."""

    def __init__(self, url: str, paths: Paths, ca_file: str = "", name: str = "this host") -> None:
        self._url, self._name = _parsed(url), name
        self._paths = paths
        self._trust = _trust(self._url, ca_file)

    def offset(self) -> float:
        """This host's clock minus the control plane's, in seconds. HostError as ``call``."""
        with self._connected(SECONDS) as connection:
            began = time.time()
            told = self._challenge(connection).time
            return (began + time.time()) / 2 - told

    def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        server_id: str = "",
        seconds: float = SECONDS,
    ) -> Answer:
        """A signed call: 2xx or 304. NoAnswer, or Refused with the control plane's words."""
        target = self._url.path.rstrip("/") + path
        with self._connected(seconds) as connection:
            challenge = self._challenge(connection)
            proof = identity.proof(
                self._paths, server_id, challenge.challenge, (method, target, body)
            )
            headers = {HEADER: proof, "content-type": "application/json"}
            return self._exchange(connection, method, target, body, headers)

    def _challenge(self, connection: http.client.HTTPConnection) -> Challenge:
        target = self._url.path.rstrip("/") + "/v1/hosts/challenge"
        answer = self._exchange(connection, "POST", target, b"", {})
        try:
            found = decode(Challenge, answer.body)
        except InvalidMessage as error:
            raise NoAnswer(
                f"{self._url.netloc} does not speak as a control plane: {error}"
            ) from error
        if not found.challenge.isascii() or not found.challenge.isprintable():
            raise NoAnswer(f"{self._url.netloc} sent no challenge")
        return found

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: bytes,
        headers: dict[str, str],
    ) -> Answer:
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            content = response.read(MOST_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(error) from error
        if response.status in (200, 201, 204, 304):
            return Answer(response.status, content)
        asked = urllib.parse.urlsplit(target).path.rpartition("/")[2]
        what = _WHAT.get(asked, "ask for {name}").format(name=self._name)
        raise _refusal(f"cannot {what} at {self._url.netloc}", response.status, content)

    @contextlib.contextmanager
    def _connected(self, seconds: float) -> Iterator[http.client.HTTPConnection]:
        connection = self._connection(seconds)
        ending = threading.Timer(2 * seconds, _end, (connection,))
        ending.daemon = True
        ending.start()
        try:
            yield connection
        finally:
            ending.cancel()
            connection.close()

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._trust is None:
            return http.client.HTTPConnection(host, port or HTTP_PORT, timeout=seconds)
        proxy = _proxy(host)
        if proxy is None:
            return http.client.HTTPSConnection(
                host, port or HTTPS_PORT, timeout=seconds, context=self._trust
            )
        connection = http.client.HTTPSConnection(
            proxy.hostname or "", proxy.port, timeout=seconds, context=self._trust
        )
        connection.set_tunnel(host, port or HTTPS_PORT)
        return connection

    def _no_answer(self, error: Exception) -> NoAnswer:
        why = str(getattr(error, "strerror", None) or error or type(error).__name__)
        fix = "see that ostiary serve runs there, and that this host reaches it"
        if isinstance(error, ssl.SSLCertVerificationError):
            why = f"its certificate is not trusted: {error.verify_message}"
            fix = "enroll with the authority of its certificate: --ca-file FILE"
        return NoAnswer(f"no answer from {self._url.netloc}", why=why, fix=fix)


def _end(connection: http.client.HTTPConnection) -> None:
    """A time limit of a socket is for each part of an answer; one that comes byte by byte would never end."""
    with contextlib.suppress(OSError, AttributeError):
        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def _parsed(url: str) -> urllib.parse.SplitResult:
    with contextlib.suppress(ValueError):
        found = urllib.parse.urlsplit(url)
        if found.scheme in ("http", "https") and found.hostname and (found.port or 1) > 0:
            if found.scheme == "http" and found.hostname not in LOOPBACK:
                raise HostError(
                    f"cannot talk to {url}",
                    why="it is not encrypted; only https leaves this host",
                    fix="name it by https://",
                )
            return found
    raise HostError(
        f"{url[:200]!r} is no URL of a control plane",
        fix="write it like: --url https://control.acme.example",
    )


def _trust(url: urllib.parse.SplitResult, ca_file: str) -> ssl.SSLContext | None:
    if url.scheme == "http":
        return None
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise HostError(f"cannot use {ca_file} as certificate authority: {error}") from error


def _proxy(host: str) -> urllib.parse.SplitResult | None:
    """The proxy that the environment names for ``host``."""
    named = urllib.request.getproxies().get("https", "")
    if not named or urllib.request.proxy_bypass(host):
        return None
    return _proxy_url(named)


def _proxy_url(named: str) -> urllib.parse.SplitResult:
    found = urllib.parse.urlsplit(named if "//" in named else f"//{named}")
    if not found.hostname:
        raise HostError("https_proxy names no host")
    return found


def _refusal(what: str, status: int, content: bytes) -> HostError:
    """Refused with what it says, in the words of wire's Refusal; NoAnswer for 5xx, 429, and what is none of ours."""
    try:
        said = json.loads(content[:65536])
        code, why, fix = (str(said.get(name, "")) for name in ("code", "why", "fix"))
    except (ValueError, AttributeError):
        code = why = fix = ""
    if status >= 500 or status == 429 or not code:  # noqa: PLR2004 - HTTP's own numbers
        fix = fix or ("" if status in _BUSY else "see that ostiary serve answers at this URL")
        return NoAnswer(what, why=why or f"it answered {status} and did not say why", fix=fix)
    asking = "ask who administers the project, with this line"
    return Refused(what, why=why, fix=_FIX.get(code) or fix or asking, code=code)
