"""The sandbox's time: real time, or moved by an offset, or standing still for tests."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Seconds since the epoch. ``offset`` moves it; ``freeze`` stops it and ``advance`` then moves it by hand."""

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset
        self._frozen: float | None = None

    def now(self) -> float:
        base = time.time() if self._frozen is None else self._frozen
        return base + self.offset

    def datetime(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)

    def freeze(self, at: float | None = None) -> None:
        self._frozen = time.time() if at is None else at

    def advance(self, seconds: float) -> None:
        if self._frozen is None:
            self.offset += seconds
        else:
            self._frozen += seconds
