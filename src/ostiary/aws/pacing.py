"""How fast and how often: a token bucket per account and service, calls in flight, jittered waiting.

IAM throttles per account and per API with unpublished numbers; a thousand accounts side by side are fine,
thirty threads in one account are not.
"""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ostiary.errors import Interrupted, Throttled

FIRST_WAIT = 0.2  # seconds; doubles with each attempt
LONGEST_WAIT = 8.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Calls per second, calls at once from rest, calls in flight: for one service in one account."""

    rate: float = 20.0
    burst: float = 100.0
    in_flight: int = 4


# Organizations answers for the whole organization from one account; STS allows hundreds of calls per second.
PACES = {
    "organizations": Pace(rate=10, burst=20),
    "sts": Pace(rate=100, burst=200, in_flight=16),
    "s3": Pace(rate=100, burst=100, in_flight=16),
    "kms": Pace(rate=100, burst=100, in_flight=16),
    "ec2": Pace(rate=20, burst=50, in_flight=8),
    "ebs": Pace(
        rate=1000, burst=1000, in_flight=64
    ),  # EBS User Guide: about a thousand puts a second
}


class Bucket:
    """Tokens fill at ``pace.rate``; a taker is told how long to wait for its own."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._tokens = pace.burst
        self._at = time.monotonic()
        self._lock = threading.Lock()
        self.in_flight = threading.BoundedSemaphore(pace.in_flight)

    def take(self, until: float | None = None) -> float:
        """Take one token; seconds until it is there (0 when it is). Throttled if that is later than ``until`` (monotonic)."""
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._pace.burst, self._tokens + (now - self._at) * self._pace.rate)
            self._at = now
            wait = max(0.0, (1 - self._tokens) / self._pace.rate)
            if until is not None and now + wait > until:
                raise _late()
            self._tokens -= 1
            return wait

    def drain(self) -> None:
        """Forget what was saved up: the service has just said that it was too fast."""
        with self._lock:
            self._tokens = min(self._tokens, 0.0)


class Pacing:
    """All buckets of one caller. ``stopping`` ends every wait with ``Interrupted``."""

    def __init__(self, stopping: threading.Event) -> None:
        self.stopping = stopping
        self._buckets: defaultdict[tuple[str, str], Bucket] = defaultdict()
        self._lock = threading.Lock()

    def bucket(self, account: str, service: str) -> Bucket:
        with self._lock:
            key = (account, service)
            if key not in self._buckets:
                self._buckets[key] = Bucket(PACES.get(service, Pace()))
            return self._buckets[key]

    @contextmanager
    def turn(self, account: str, service: str, until: float | None = None) -> Iterator[None]:
        """Wait for a turn to call; no other wait happens inside it. Throttled if none comes before ``until`` (monotonic)."""
        bucket = self.bucket(account, service)
        left = None if until is None else max(0.0, until - time.monotonic())
        if not bucket.in_flight.acquire(timeout=left):
            raise _late()
        try:
            self.wait(bucket.take(until))
            yield
        finally:
            bucket.in_flight.release()

    def wait(self, seconds: float) -> None:
        if self.stopping.wait(seconds) if seconds > 0 else self.stopping.is_set():
            raise Interrupted("interrupted", why="no new call is made after a stop was asked for")


def _late() -> Throttled:
    return Throttled(
        "cannot call now",
        why="too many calls wait for their turn, by our own count",
        fix="run the same command again",
        code="busy",
    )


def full_jitter(attempt: int) -> float:
    """Seconds before retry ``attempt`` (0 is the first): anywhere between nothing and the doubled wait."""
    return random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**attempt))  # noqa: S311 - spreads load, no secret
