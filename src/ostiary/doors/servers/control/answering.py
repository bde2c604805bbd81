"""Messages as answers: what ``wire.message.encode`` writes, thirty times faster, and never kept by anybody on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from ostiary.doors.servers.wire.message import VERSION

HEADERS = {"cache-control": "no-store"}  # tokens and certificates are among them
_HEAD = b'{"v":%d' % VERSION
_EMPTY = b"{}"
_json = msgspec.json.Encoder()


def encoded(message: Any) -> bytes:
    """The JSON of a message."""
    body = _json.encode(message)
    return _HEAD + (b"}" if body == _EMPTY else b"," + body[1:])


def answer(message: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The answer with a message; None is an answer without one."""
    sent = {**HEADERS, **(headers or {})}
    if message is None:
        return Response(status_code=204, headers=sent)
    return Response(encoded(message), status, sent, "application/json")
