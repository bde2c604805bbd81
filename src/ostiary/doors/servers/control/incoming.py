"""What comes with a request: its path as it was signed, its headers, its body within bounds, its message.

Source: the ASGI specification, "HTTP & WebSocket ASGI Message Format": scope and messages as the server gives them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from ostiary.doors.servers.control.refusal import CROWDED, TOO_LARGE, invalid
from ostiary.doors.servers.wire.message import InvalidMessage, decode
from ostiary.errors import Throttled, UsageError

SMALL = 64 * 1024  # bytes: what people and hosts send every day
MOST_HELD = 64 * 1024 * 1024  # bytes of all that are larger, of each kind of those who ask
BeforeLarge = Callable[[], Awaitable[object]]


class Gone(Exception):
    """Whoever asked has hung up before all of the request was there."""


def target(scope: Scope) -> str:
    """The path with its query, byte for byte."""
    query: str = scope["query_string"].decode("latin-1")
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    path = raw.partition(b"?")[0].decode("latin-1")
    return f"{path}?{query}" if query else path


def headers(scope: Scope) -> Mapping[str, str]:
    """By their names in lower case; of one that comes twice the first."""
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in reversed(scope["headers"])
    }


def query(scope: Scope) -> Mapping[str, str]:
    """Of a parameter that comes twice the last."""
    text = scope["query_string"]
    return dict(parse_qsl(text.decode("latin-1"), keep_blank_values=True)) if text else {}


@dataclass(slots=True)
class Bodies:
    """Bytes of the large bodies that are held at once: memory is for all."""

    held: int = 0


class Body:
    """One body, counted among ``bodies`` from when it is large until the block ends."""

    __slots__ = ("_bodies", "_counted")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._counted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bodies.held -= self._counted

    async def read(self, receive: Receive, most: int, before_large: BeforeLarge) -> bytes:
        """All of it; refused as soon as it has more than ``most`` bytes. Gone for one that does not end.

        Throttled for a large one while too many are held; before one grows large, whatever ``before_large`` raises.
        """
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            part = message.get("body", b"")
            more = message.get("more_body", False)
            size += len(part)
            if size > most:
                why = f"it is over {most} bytes"
                raise UsageError("cannot take this body", why=why, code=TOO_LARGE)
            if size > SMALL:
                if not self._counted:
                    await before_large()
                self._count(size)
            parts.append(part)
        return b"".join(parts)

    def _count(self, size: int) -> None:
        if self._bodies.held + size - self._counted > MOST_HELD:
            why = f"bodies of {MOST_HELD} bytes are being read already"
            raise Throttled("cannot take this body now", why=why, code=CROWDED)
        self._bodies.held += size - self._counted
        self._counted = size


def decoded(kind: type[Any], body: bytes) -> Any:
    try:
        return decode(kind, body)
    except InvalidMessage as error:
        raise invalid(error) from error
