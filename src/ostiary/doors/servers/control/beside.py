"""A thread that does one thing while somebody waits for another: an executor takes three times as long to hand it over."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Beside:
    """For one at a time, who calls ``want``, then perhaps ``begin``, and ``end``."""

    def __init__(self) -> None:
        self._wanted: Callable[[], None] | None = None
        self._begun = False
        self._closed = False
        self._error: BaseException | None = None
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        threading.Thread(target=self._run, name="beside", daemon=True).start()

    def want(self, work: Callable[[], None] | None) -> None:
        self._wanted = work

    def begin(self) -> None:
        """Let the thread do what is wanted, unless it is begun or nothing is."""
        if self._wanted is not None and not self._begun:
            self._begun = True
            self._go.release()

    def end(self) -> None:
        """When it is done: here and now, if it was not begun. Raises what it raised."""
        if self._begun:
            self._done.acquire()
        elif self._wanted is not None:
            self._do()
        error, self._error = self._error, None
        self._wanted, self._begun = None, False
        if error is not None:
            raise error

    def close(self) -> None:
        """End the thread. Nothing is under way. Twice is as once."""
        if not self._closed:
            self._closed = True
            self._go.release()

    def _run(self) -> None:
        while True:
            self._go.acquire()
            if self._wanted is None:
                return
            self._do()
            self._done.release()

    def _do(self) -> None:
        assert self._wanted is not None
        try:
            self._wanted()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
