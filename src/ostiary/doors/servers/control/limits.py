"""How much each address and each session may ask: buckets that fill with time, in memory of this process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ostiary.errors import Throttled

MOST_KEPT = 20_000  # the least recently used are forgotten: a new bucket is full


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Limits:
    """``burst`` at once, and ``rate`` a second after that, for each key."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str, cost: float = 1.0) -> None:
        """Take ``cost``, or raise Throttled."""
        with self._lock:
            now = self._clock()
            bucket = self._buckets.get(key)
            if bucket is None:
                bucket = self._buckets[key] = _Bucket(self._burst, now)
                if len(self._buckets) > MOST_KEPT:
                    self._buckets.popitem(last=False)
            self._buckets.move_to_end(key)
            bucket.left = min(self._burst, bucket.left + max(0.0, now - bucket.at) * self._rate)
            bucket.at = now
            if bucket.left < cost:
                raise Throttled(
                    "cannot answer so many requests",
                    why=f"more than {self._rate:g} a second came from you",
                    fix="ask again later",
                    code="too-many",
                )
            bucket.left -= cost
