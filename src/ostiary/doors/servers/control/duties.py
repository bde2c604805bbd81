"""What a process does beside answering: each duty in a thread of its own, again and again until the end.

A duty that only one process should do at a time takes its lease itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ostiary.errors import Interrupted, OstiaryError

END_SECONDS = 8.0  # for the rounds that are under way, and what is done at the end
LOG = logging.getLogger("ostiary.duties")


@dataclass(frozen=True, slots=True)
class Duty:
    """``work`` every ``seconds``; ``end`` when the process ends. What they raise is logged, and it goes on."""

    name: str
    seconds: Callable[[], float]
    work: Callable[[], None]
    end: Callable[[], None] | None = None


class Duties:
    """Runs duties from now on."""

    def __init__(self, duties: Sequence[Duty]) -> None:
        self._stop = threading.Event()
        self._failed: dict[str, str] = {}
        self._threads = [
            threading.Thread(target=self._run, args=(one,), name=one.name, daemon=True)
            for one in duties
        ]
        for thread in self._threads:
            thread.start()

    def problems(self) -> tuple[str, ...]:
        """What failed last in each duty, for the status."""
        return tuple(f"{name}: {why}" for name, why in sorted(self._failed.items()))

    def close(self) -> None:
        """End each after its round; what hangs in a database or a network is left behind."""
        self._stop.set()
        until = time.monotonic() + END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self, duty: Duty) -> None:
        while not self._stop.is_set():
            self._once(duty, duty.work)
            self._stop.wait(duty.seconds())
        if duty.end is not None:
            self._once(duty, duty.end)

    def _once(self, duty: Duty, work: Callable[[], None]) -> None:
        try:
            work()
        except Interrupted:  # whoever ends this process knows
            return
        except OstiaryError as error:
            self._note(duty, str(error))
        except Exception as defect:  # noqa: BLE001 - whatever it is, the other rounds are still to be done
            self._note(duty, f"this is a defect of ostiary: {type(defect).__name__}: {defect}")
        else:
            self._failed.pop(duty.name, None)

    def _note(self, duty: Duty, why: str) -> None:
        if self._failed.get(duty.name) != why:
            LOG.warning("%s: %s", duty.name, why)
        self._failed[duty.name] = why
