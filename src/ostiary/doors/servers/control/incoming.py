"""What comes with a request: its path as it was signed, its body within bounds, its message."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request

from ostiary.doors.servers.control.refusal import SLOW, TOO_LARGE, invalid
from ostiary.doors.servers.wire.message import MOST_BYTES, InvalidMessage, decode
from ostiary.errors import UsageError

BODY_SECONDS = 20.0  # to send a body in


def target(request: Request) -> str:
    """The path with its query, byte for byte."""
    query = request.scope["query_string"].decode("latin-1")
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.partition(b"?")[0].decode("latin-1")
    return f"{path}?{query}" if query else path


async def body(request: Request) -> bytes:
    """The whole body, refused as soon as it is larger than any message may be."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MOST_BYTES:
                    why = f"it is over {MOST_BYTES} bytes"
                    raise UsageError("cannot take this body", why=why, code=TOO_LARGE)
                parts.append(part)
    except TimeoutError as error:
        raise UsageError("cannot wait longer for the body", code=SLOW) from error
    return b"".join(parts)


def decoded(kind: type[Any], body: bytes) -> Any:
    try:
        return decode(kind, body)
    except InvalidMessage as error:
        raise invalid(error) from error
