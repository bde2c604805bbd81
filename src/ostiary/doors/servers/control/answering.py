"""Messages as answers: what ``wire.message.encode`` writes, thirty times faster, and never kept by anybody on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from ostiary.doors.servers.wire.message import VERSION

_KEPT_BY_NOBODY = (b"cache-control", b"no-store")  # tokens and certificates are among them
_JSON = (b"content-type", b"application/json")
_HEAD = b'{"v":%d' % VERSION
_EMPTY = b"{}"
_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as ASGI application: it goes out in two messages, whatever was asked."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes = field(default=b"", repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def encoded(message: Any) -> bytes:
    """The JSON of a message."""
    body = _json.encode(message)
    return _HEAD + (b"}" if body == _EMPTY else b"," + body[1:])


def answer(message: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """The answer with a message; None is an answer without one. ``headers`` are others than those that all have."""
    more = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    if message is None:
        return Answer(204, [_KEPT_BY_NOBODY, *more])
    body = encoded(message)
    size = (b"content-length", b"%d" % len(body))
    return Answer(status, [_KEPT_BY_NOBODY, _JSON, size, *more], body)


def empty(status: int) -> Answer:
    """The answer that says all by its status."""
    size = [] if status == 304 else [(b"content-length", b"0")]  # noqa: PLR2004 - RFC 9110, 8.6
    return Answer(status, [_KEPT_BY_NOBODY, *size])
