"""Several processes that serve at one address: one interpreter keeps one core busy.

The first process begins the others, passes on the signal to end, and begins anew whichever ends unasked. Sources: fork(2),
waitpid(2), prctl(2) for the death of the first.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence

LOG = logging.getLogger("ostiary.workers")
AGAIN_SECONDS = 1.0  # until a worker that ended unasked is begun anew
STARTING_SECONDS = 10.0  # in which one that ends with an error has said what hinders all of them
_SET_PDEATHSIG = 1  # PR_SET_PDEATHSIG
_END = (signal.SIGTERM, signal.SIGINT)


def split(listened: Sequence[socket.socket]) -> int:
    """Go on as a process for each socket: which of them this one is, from 0. The caller of one goes on as that one.

    The first process does not return: it exits when all have ended, with the worst of their exit codes. One that is
    killed is begun anew, and so is one that fails, unless it fails at the start of all. Each keeps its own socket alone; the
    first keeps them all for those begun anew, until it is told to end. There must be no other thread yet.
    """
    if len(listened) == 1:
        return 0
    first = _First(os.getpid(), listened)
    for index in range(len(listened)):
        if first.begin(index, time.monotonic() + STARTING_SECONDS):
            return index
    return first.watch()


class _First:
    """The workers of the first process by their pid: which they are, and until when they start (monotonic)."""

    def __init__(self, pid: int, listened: Sequence[socket.socket]) -> None:
        self._pid = pid
        self._listened = listened
        self._workers: dict[int, tuple[int, float]] = {}
        self._ending = False
        self._code = 0
        self._before = [signal.signal(one, self._end) for one in _END]

    def begin(self, index: int, starting: float = 0.0) -> bool:
        """Whether this is now the worker. None is begun any more once the signal to end has come."""
        if self._ending:
            return False
        signal.pthread_sigmask(signal.SIG_BLOCK, _END)
        pid = os.fork()
        if pid:
            self._workers[pid] = index, starting
        else:
            for one, handler in zip(_END, self._before, strict=True):
                signal.signal(one, handler)
            self._close(all_but=index)
            os.setpgid(0, 0)  # Ctrl-C is for the first process, which tells the others once
            _end_with(self._pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _END)
        return not pid

    def watch(self) -> int:
        """The index of a worker that was begun anew, in it."""
        while self._workers:
            pid, status = os.wait()
            index, starting = self._workers.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if code > 0 and time.monotonic() < starting:
                self._end()
            if self._ending:
                if code != -signal.SIGTERM:  # it had only just begun
                    self._code = max(self._code, abs(code))
                continue
            LOG.error("worker %d ended with %d; it is begun anew", index, code)
            time.sleep(AGAIN_SECONDS)
            if self.begin(index):
                return index
        sys.exit(self._code)

    def _end(self, *_: object) -> None:
        self._ending = True
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError):  # it was waited for just now
                os.kill(pid, signal.SIGTERM)
        self._close()  # else whoever comes now would wait for a worker that has ended

    def _close(self, all_but: int = -1) -> None:
        for index, one in enumerate(self._listened):
            if index != all_but:
                one.close()


def _end_with(first: int) -> None:
    """Be killed when the first process is: whoever begins it anew finds none of its workers at the address."""
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != first:
        sys.exit(1)
