"""Requests and responses as values: every simulator is a function from one to the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. ``target`` is path and query as they came (still quoted); header names are lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    origin: str = ""  # scheme://host:port under which this listener is reached, no trailing slash

    def header(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.headers if key == name.lower()), default)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    @property
    def cookies(self) -> dict[str, str]:
        pairs = (
            part.strip().partition("=")
            for name, value in self.headers
            if name == "cookie"
            for part in value.split(";")
        )
        return {name: value for name, _, value in pairs if name}


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response. A header may occur twice (Okta's two ``link`` lines, ``set-cookie``)."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def of_json(
        cls, value: object, status: int = 200, headers: Iterable[tuple[str, str]] = ()
    ) -> Response:
        body = json.dumps(value, separators=(",", ":")).encode()
        return cls(status, body, (("content-type", "application/json"), *headers))

    @classmethod
    def of_html(
        cls, text: str, status: int = 200, headers: Iterable[tuple[str, str]] = ()
    ) -> Response:
        return cls(status, text.encode(), (("content-type", "text/html; charset=utf-8"), *headers))

    def with_headers(self, extra: Mapping[str, str]) -> Response:
        return Response(self.status, self.body, (*self.headers, *extra.items()))


Handler: TypeAlias = Callable[[Request], Response]


class ConnectionLost(Exception):
    """Raised by a handler to make the adapter drop the connection without an answer (a lost answer)."""
