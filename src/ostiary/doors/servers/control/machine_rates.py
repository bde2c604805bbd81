"""How many certificates an hour each machine may have."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock

from ostiary.doors.servers.wire.admin import Machine
from ostiary.errors import Throttled

HOUR = 3600.0


class MachineRates:
    """Counts what this process has issued: with several processes a machine may have its rate of each."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._taken: dict[str, deque[float]] = {}
        self._lock = Lock()

    def take(self, machine: Machine) -> None:
        """Count one more, or Throttled."""
        now = self._clock()
        with self._lock:
            taken = self._taken.setdefault(machine.name, deque())
            while taken and not now - HOUR < taken[0] <= now:
                taken.popleft()
            if len(taken) >= machine.rate:
                raise Throttled(
                    f"cannot issue more to machine {machine.name}",
                    why=f"it may have {machine.rate} certificates an hour",
                    fix="ask later, or for a higher rate",
                    code="machine-rate",
                )
            taken.append(now)
