"""What was read within the last second, for whoever asks again: a fleet is entered by one session, server after server.

It is for answers that are judged anew before they count. A certificate is: the transaction that writes it down looks at
session and person once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")
SECONDS = 1.0


class Lately(Generic[T]):
    """By key. Threads may share it. ``clock`` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[str, T] = {}
        self._until = 0.0

    def get(self, key: str) -> T | None:
        if self._clock() >= self._until:
            return None
        return self._found.get(key)

    def keep(self, found: Mapping[str, T]) -> None:
        """All of it is forgotten a second after the first of it was kept."""
        now = self._clock()
        if now >= self._until:
            self._found, self._until = {}, now + SECONDS
        self._found.update(found)

    def forget(self) -> None:
        self._until = 0.0
