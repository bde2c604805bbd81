"""A browser, and the one address on loopback where it is sent back to. No shell is ever between.

The redirect address is fixed, because Okta compares it letter by letter with those of the app.
"""

from __future__ import annotations

import hmac
import html
import socket
import time
import webbrowser
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

from ostiary.errors import Conflict, Denied

PORT = 8259
PATH = "/callback"
SECONDS = 300.0


class Returning:
    """Waits on loopback for the browser. Conflict when the port is taken."""

    def __init__(self, port: int = PORT) -> None:
        try:
            self._server = _Server(port)
        except OSError as error:
            raise Conflict(
                f"cannot wait for the browser on 127.0.0.1 port {port}",
                why=str(error.strerror).lower(),
                fix="run: ostiary login",
            ) from error
        self.address = f"http://127.0.0.1:{self._server.server_port}{PATH}"

    def __enter__(self) -> Returning:  # noqa: PYI034 - nobody inherits
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()

    def wait(self, seconds: float = SECONDS, *, state: str = "") -> Mapping[str, str]:
        """What the browser brings back: its query. Denied when it does not come.

        With ``state``, what bears another is not taken: any page in the browser, and anybody on this machine, can send
        something here.
        """
        self._server.state = state
        ends = time.monotonic() + seconds
        while self._server.answer is None:
            left = ends - time.monotonic()
            if left <= 0:
                raise Denied(
                    "nobody signed in in the browser",
                    why=f"it did not come back within {seconds:.0f} s",
                    fix="run: ostiary login",
                    code="expired",
                )
            self._server.timeout = left
            self._server.handle_request()
        return self._server.answer


def show(url: str, say: Callable[[str], None], port: int = PORT) -> None:
    """Open ``url`` where there is a browser; say it in any case. The browser comes back to ``port``."""
    say(f"sign in at: {url}")
    try:
        found = webbrowser.open(url)
    except webbrowser.Error:
        found = False
    if not found:
        say(
            "no browser was found here: open that address in one on this machine, or on your own, from which before:"
            f" ssh -L {port}:127.0.0.1:{port} THIS-MACHINE"
        )


class _Server(HTTPServer):
    # A sign-in a moment ago leaves the port in TIME_WAIT; one that somebody listens on stays taken: socket(7), SO_REUSEADDR.
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        self.answer: Mapping[str, str] | None = None
        self.state = ""
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        connection.settimeout(5)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path != PATH or not parts.query:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        answer = dict(parse_qsl(parts.query))
        wanted, state = self.server.state.encode(), answer.get("state", "").encode()
        if wanted and not hmac.compare_digest(wanted, state):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        words = answer.get("error_description") or "Go back to the terminal."
        body = f"<!doctype html><title>ostiary</title><p>{html.escape(words)}</p>".encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)
        self.server.answer = answer

    def log_message(self, *_: object) -> None:
        """The query holds a code: it is not logged."""
