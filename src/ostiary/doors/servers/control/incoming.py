"""What comes with a request: its path as it was signed, its body within bounds, its message."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from ostiary.doors.servers.control.refusal import CROWDED, SLOW, TOO_LARGE, invalid
from ostiary.doors.servers.wire.message import MOST_BYTES, InvalidMessage, decode
from ostiary.errors import Throttled, UsageError

BODY_SECONDS = 20.0  # to send a body in
SMALL = 64 * 1024  # bytes: what people and hosts send every day
MOST_HELD = 64 * 1024 * 1024  # bytes of all that are larger


def target(request: Request) -> str:
    """The path with its query, byte for byte."""
    query = request.scope["query_string"].decode("latin-1")
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.partition(b"?")[0].decode("latin-1")
    return f"{path}?{query}" if query else path


@dataclass(slots=True)
class _Held:
    """What is counted of one body."""

    size: int = 0


class Bodies:
    """The bodies that are held at once, in one event loop: nobody has proven anything yet, and memory is for all."""

    def __init__(self) -> None:
        self._all = 0

    @contextlib.asynccontextmanager
    async def of(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, counted until the block ends; refused as soon as it is larger than any message may be.

        Throttled for a large one while too many are held; small ones are not counted.
        """
        held = _Held()
        try:
            yield await self._read(request, held)
        finally:
            self._all -= held.size

    async def _read(self, request: Request, held: _Held) -> bytes:
        parts, size = [], 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    size += len(part)
                    if size > MOST_BYTES:
                        why = f"it is over {MOST_BYTES} bytes"
                        raise UsageError("cannot take this body", why=why, code=TOO_LARGE)
                    if size > SMALL:
                        self._count(size, held)
                    parts.append(part)
        except TimeoutError as error:
            raise UsageError("cannot wait longer for the body", code=SLOW) from error
        return b"".join(parts)

    def _count(self, size: int, held: _Held) -> None:
        if self._all + size - held.size > MOST_HELD:
            why = f"bodies of {MOST_HELD} bytes are being read already"
            raise Throttled("cannot take this body now", why=why, code=CROWDED)
        self._all += size - held.size
        held.size = size


def decoded(kind: type[Any], body: bytes) -> Any:
    try:
        return decode(kind, body)
    except InvalidMessage as error:
        raise invalid(error) from error
