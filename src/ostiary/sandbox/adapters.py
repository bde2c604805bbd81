"""The in-process ways into a World: no socket, the same handlers that the HTTPS listeners serve.

``OktaTransport`` is an httpx2 transport; ``AwsHook`` answers botocore's ``before-send`` event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2

from ostiary.sandbox.aws.front import handle as handle_aws
from ostiary.sandbox.http import ConnectionLost, Handler, Request, Response
from ostiary.sandbox.okta.front import handle as handle_okta
from ostiary.sandbox.world import World


def okta_handler(world: World) -> Handler:
    return lambda request: handle_okta(world, request)


def aws_handler(world: World) -> Handler:
    return lambda request: handle_aws(world, request)


def answer(world: World, handler: Handler, request: Request) -> Response:
    """One exchange: the world's latency passes outside its lock, so that calls overlap as they would."""
    if world.switches.latency:
        time.sleep(world.switches.latency)
    with world.lock:
        return handler(request)


class OktaTransport(httpx2.BaseTransport):
    """Carries httpx2 requests to the embedded Okta org."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.handler = okta_handler(world)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        parts = urlsplit(str(request.url))
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            response = answer(
                self.world,
                self.handler,
                Request(
                    request.method,
                    target,
                    tuple((name.lower(), value) for name, value in request.headers.items()),
                    request.read(),
                    f"{parts.scheme}://{parts.netloc}",
                ),
            )
        except ConnectionLost as lost:
            raise httpx2.ReadError(str(lost) or "connection reset", request=request) from lost
        return httpx2.Response(
            response.status,
            headers=list(response.headers),
            content=response.body,
            request=request,
        )


def aws_hook(world: World) -> Callable[..., Any]:
    """A ``before-send`` handler for botocore: ``client.meta.events.register("before-send", hook)``."""
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - only tests and benches want botocore here
    from botocore.exceptions import ConnectionClosedError  # noqa: PLC0415

    handler = aws_handler(world)

    def hook(request: Any, **_: object) -> AWSResponse:
        parts = urlsplit(request.url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        body = request.body or b""
        if hasattr(body, "read"):
            body = body.read()
        headers = tuple(
            (name.lower(), value.decode() if isinstance(value, bytes) else str(value))
            for name, value in request.headers.items()
        )
        if not any(name == "host" for name, _ in headers):
            headers = (*headers, ("host", parts.netloc))
        try:
            response = answer(
                world,
                handler,
                Request(
                    request.method,
                    target,
                    headers,
                    body.encode() if isinstance(body, str) else bytes(body),
                    f"{parts.scheme}://{parts.netloc}",
                ),
            )
        except ConnectionLost as lost:
            raise ConnectionClosedError(endpoint_url=request.url) from lost
        headers_answered: Any = dict(
            response.headers
        )  # AWSResponse copies them into its own, caseless kind
        return AWSResponse(request.url, response.status, headers_answered, _Raw(response.body))

    return hook


def aws_send(
    world: World,
) -> Callable[
    [str, str, Mapping[str, str], bytes | memoryview], tuple[int, Mapping[str, str], bytes]
]:
    """For callers that sign by themselves: method, URL, headers and body to status, headers and body."""
    handler = aws_handler(world)

    def send(
        method: str, url: str, headers: Mapping[str, str], body: bytes | memoryview
    ) -> tuple[int, Mapping[str, str], bytes]:
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        origin = f"{parts.scheme}://{parts.netloc}"
        try:
            response = answer(
                world, handler, Request(method, target, tuple(headers.items()), bytes(body), origin)
            )
        except ConnectionLost as lost:
            raise ConnectionResetError(str(lost)) from lost
        return response.status, dict(response.headers), response.body

    return send


class _Raw:
    """The part of urllib3's response that botocore reads."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> Any:
        yield self._body

    def read(self, *_: object, **__: object) -> bytes:
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        self._body = b""
