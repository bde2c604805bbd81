"""Pages of a list, with Okta's Link headers: one header line per relation, cursors that mean nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from ostiary.sandbox.http import ConnectionLost, Response
from ostiary.sandbox.okta.call import Call
from ostiary.sandbox.okta.errors import invalid

Item = TypeVar("Item")


def limit_of(call: Call, default: int, maximum: int) -> int:
    """The page size asked for; more than the maximum is cut to it, as Okta does."""
    text = call.request.query.get("limit", "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise invalid("limit", f"The limit must be between 1 and {maximum}.")
    return min(int(text), maximum)


def page(
    call: Call,
    items: Sequence[Item],
    show: Callable[[Item], Any],
    *,
    identity: Callable[[Item], str],
    default: int,
    maximum: int,
    always_next: bool = False,
) -> Response:
    """Show one page of ``items``. The cursor names the last item seen, so that pages survive insertions."""
    limit = limit_of(call, default, maximum)
    after = call.request.query.get("after")
    start = 0
    if after:
        _cut(call)
        start = next(
            (index + 1 for index, item in enumerate(items) if _cursor(identity(item)) == after), -1
        )
        if start < 0:
            if not (always_next and after == _cursor("")):
                raise invalid("after", "Invalid cursor.")
            start = 0
    shown = items[start : start + limit]
    links = [("link", f'<{call.href(call.request.target)}>; rel="self"')]
    if always_next or start + limit < len(items):
        last = _cursor(identity(shown[-1])) if shown else after or _cursor("")
        query = urlencode(
            {**call.request.query, "after": last, "limit": str(limit)}, quote_via=quote
        )
        links.append(("link", f'<{call.href(call.request.path)}?{query}>; rel="next"'))
    return Response.of_json([show(item) for item in shown], headers=links)


def whole(call: Call, items: Sequence[Any]) -> Response:
    """A list that Okta does not page."""
    links = [("link", f'<{call.href(call.request.target)}>; rel="self"')]
    return Response.of_json(list(items), headers=links)


def _cut(call: Call) -> None:
    if call.world.random.random() < call.world.switches.cut_page_share:
        raise ConnectionLost("the connection dropped after the first page")


def _cursor(identity: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(identity.encode()).digest()[:15]).decode()
