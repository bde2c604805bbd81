"""The HTTPS listeners of a World, on loopback: one for the Okta org, one for AWS.

Everything runs in one event loop, so handlers see one request at a time; latency is awaited outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ostiary.errors import Unreachable
from ostiary.sandbox.adapters import aws_handler, okta_handler
from ostiary.sandbox.authority import write_authority
from ostiary.sandbox.http import ConnectionLost, Handler, Request, Response
from ostiary.sandbox.world import World

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
CUT = "ostiary.cut"
MAX_BODY = 96 * 1024 * 1024  # a part of an upload and what is around it
TOO_LARGE = Response(
    413,
    f"A request of more than {MAX_BODY} bytes is not taken here: send it in parts.\n".encode(),
    (("content-type", "text/plain"), ("connection", "close")),
)


def application(world: World, handler: Handler) -> Callable[..., Awaitable[None]]:
    """An ASGI application over one handler. A lost answer closes the connection without a byte."""

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = tuple((k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"])
        body = await _body(receive, dict(headers))
        if body is None:
            await _send(send, TOO_LARGE, head_only=False)
            return
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        host = next((value for name, value in headers if name == "host"), "localhost")
        request = Request(scope["method"], target, headers, body, f"{scope['scheme']}://{host}")
        if world.switches.latency:
            await asyncio.sleep(world.switches.latency)
        try:
            with world.lock:
                response = handler(request)
        except ConnectionLost:
            # An exception here would make uvicorn answer 500; a lost answer is no answer at all.
            scope["extensions"][CUT]()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await _send(send, response, head_only=scope["method"] == "HEAD")

    return app


async def _body(receive: Receive, headers: Mapping[str, str]) -> bytes | None:
    """The whole body; None for one above MAX_BODY, which is read to its end and kept no further than that.

    A client that waits for ``100 Continue`` has not sent it yet and need not.
    """
    declared = headers.get("content-length", "")
    if "expect" in headers and declared.isdigit() and int(declared) > MAX_BODY:
        return None
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY:
            chunks.clear()
        else:
            chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks) if size <= MAX_BODY else None


async def _send(send: Send, response: Response, *, head_only: bool) -> None:
    headers = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in response.headers]
    if not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head_only else response.body})


class _CuttingProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 that lets an application cut its own connection (a lost answer)."""

    def handle_events(self) -> None:
        super().handle_events()
        scope: Any = self.scope
        if scope is not None:
            scope["extensions"] = {CUT: self.transport.abort}


def listen(port: int = 0) -> socket.socket:
    """A listening socket on loopback.

    The protocol is named because asyncio sets TCP_NODELAY only on sockets that name it; without, each
    keep-alive request costs 40 ms.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


class Listeners:
    """Both listeners of a World, in a thread of their own (``start``/``stop``) or in the foreground (``run``)."""

    def __init__(
        self, world: World, folder: Path, *, okta_port: int = 0, aws_port: int = 0
    ) -> None:
        self.world = world
        self.ca_file, chain, key = write_authority(folder)
        self._sockets = (listen(okta_port), listen(aws_port))
        okta, aws = (f"https://localhost:{sock.getsockname()[1]}" for sock in self._sockets)
        self.okta_url, self.aws_url = okta, aws
        world.okta.aws_origin = aws
        self._servers = tuple(
            uvicorn.Server(
                uvicorn.Config(
                    application(world, handler),
                    http=_CuttingProtocol,
                    ws="none",
                    lifespan="off",
                    log_level="error",
                    access_log=False,
                    server_header=False,
                    date_header=False,
                    ssl_certfile=str(chain),
                    ssl_keyfile=str(key),
                    timeout_keep_alive=75,
                )
            )
            for handler in (okta_handler(world), aws_handler(world))
        )
        self._thread: threading.Thread | None = None

    async def serve(self) -> None:
        await asyncio.gather(
            *(
                server.serve(sockets=[sock])
                for server, sock in zip(self._servers, self._sockets, strict=True)
            )
        )
        for server in self._servers:
            for connection in list(server.server_state.connections):
                # Clients that keep one open would hold us up. One that is closed already has, before Python 3.11.4, nothing to abort.
                with contextlib.suppress(AttributeError):
                    connection.transport.abort()
        await asyncio.sleep(0)

    def start(self) -> None:
        """Serve in the background; returns when both listeners answer."""
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self.serve()), name="sandbox", daemon=True
        )
        self._thread.start()
        while not all(server.started for server in self._servers):
            if not self._thread.is_alive():
                raise Unreachable("cannot start the sandbox", why="its listeners ended at once")
            time.sleep(0.01)

    def stop(self) -> None:
        for server in self._servers:
            server.should_exit = server.force_exit = True
        if self._thread is not None:
            self._thread.join(timeout=10)
        for sock in self._sockets:
            sock.close()
