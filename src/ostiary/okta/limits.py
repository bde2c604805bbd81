"""Staying under Okta's rate limits, by what Okta itself says about them.

Every answer carries ``X-Rate-Limit-Limit``, ``-Remaining`` and ``-Reset`` (epoch seconds, by Okta's clock)
and a ``Date`` by the same clock, so the time until the reset is known however wrong our own clock is. The
limits are counted per bucket: a class of methods and a path with its ids taken out. Source: Okta
developer docs, "Rate limits" (counters are windows of 60 s; a 429 for concurrency has limit = remaining = 0).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx2

from ostiary.errors import Throttled

COLLECTIONS = frozenset({"apps", "groups", "users", "policies", "rules", "keys", "grants", "logs"})
WINDOW = 60.0
UNKNOWN = 5  # requests under way in a bucket of which no answer has told anything yet
LONGEST = 600.0  # a reset further away than this is nonsense and not believed


def bucket(method: str, path: str) -> str:
    """``GET /api/v1/apps/{}/groups``: what one limit counts."""
    parts = path.split("/")
    for index, (before, part) in enumerate(itertools.pairwise(parts), start=1):
        if before in COLLECTIONS and part not in COLLECTIONS:
            parts[index] = "{}"
    return f"{'GET' if method in ('GET', 'HEAD') else 'write'} {'/'.join(parts)}"


@dataclass(slots=True)
class _Window:
    """What is known of one bucket. Times are by our own clock; ``server_reset`` tells one window from the next."""

    limit: int | None = None
    remaining: int = 0
    server_reset: int = 0
    resets_at: float = 0.0
    closed_until: float = 0.0
    in_flight: int = 0


class Pacer:
    """Lets a request through when its bucket has room; shared by all threads of a client.

    At most ``share`` of a limit is ever used, other callers' use counted, and after a 429 none of its bucket
    before the reset.
    """

    def __init__(
        self,
        *,
        share: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._share = share
        self._clock = clock
        self._sleep = sleep
        self._windows: dict[str, _Window] = {}
        self._lock = threading.Lock()

    def enter(self, name: str, what: str, patience: float = LONGEST) -> None:
        """Wait for a place in the bucket. Raises Throttled when that would take longer than ``patience`` seconds."""
        until = self._clock() + patience
        while (wait := self._try(name)) > 0:
            if self._clock() + wait > until:
                raise Throttled(
                    what,
                    why=f"Okta's rate limit for {name} leaves no room for {wait:.0f} s more",
                    fix="run again later, or allow more with OSTIARY_OKTA_SHARE=0.8",
                )
            self._sleep(wait)

    def _try(self, name: str) -> float:
        """0 when the request may go now (and is counted), else the seconds to wait before asking again."""
        with self._lock:
            window = self._windows.setdefault(name, _Window())
            now = self._clock()
            if now < window.closed_until:
                return window.closed_until - now
            if window.limit is not None and now >= window.resets_at:
                window.remaining = window.limit
                window.resets_at = now + WINDOW
            if not self._has_room(window):
                return max(0.05, window.resets_at - now) if window.limit is not None else 0.05
            window.in_flight += 1
            return 0.0

    def _has_room(self, window: _Window) -> bool:
        if window.limit is None:
            return window.in_flight < UNKNOWN
        allowed = max(1, int(window.limit * self._share))
        used = window.limit - window.remaining
        return used + window.in_flight < allowed

    def leave(self, name: str) -> None:
        with self._lock:
            self._windows[name].in_flight -= 1

    def note(self, name: str, response: httpx2.Response) -> None:
        """Learn from an answer; close the bucket until its reset when the answer is a 429."""
        headers = response.headers
        try:
            limit = int(headers["x-rate-limit-limit"])
            remaining = int(headers["x-rate-limit-remaining"])
            reset = int(headers["x-rate-limit-reset"])
        except (KeyError, ValueError):
            return
        if is_concurrency(response):
            return
        with self._lock:
            window = self._windows[name]
            now = self._clock()
            wait = min(LONGEST, max(1.0, reset - server_time(response, now) + 1))
            if reset == window.server_reset and window.limit is not None:
                remaining = min(remaining, window.remaining)
            window.limit, window.remaining, window.server_reset = limit, remaining, reset
            window.resets_at = now + wait
            if response.status_code == httpx2.codes.TOO_MANY_REQUESTS:
                window.closed_until = now + wait


def server_time(response: httpx2.Response, otherwise: float) -> float:
    """The ``Date`` of an answer in epoch seconds."""
    try:
        return parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return otherwise


def is_concurrency(response: httpx2.Response) -> bool:
    """A 429 for too many requests at once: its reset is an estimate only, so a short wait is right."""
    headers = response.headers
    return (
        response.status_code == httpx2.codes.TOO_MANY_REQUESTS
        and headers.get("x-rate-limit-limit") == "0"
        and headers.get("x-rate-limit-remaining") == "0"
    )
