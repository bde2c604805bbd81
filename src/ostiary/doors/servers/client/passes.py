"""Which process of ``ssh`` has which pass: two connections at once, also to one host, never share one.

A process is known by its number and when it began (``proc(5)``, ``stat`` fields 1, 4 and 22), so that a number given
again by the kernel does not inherit. Source for who is at the other end: ``unix(7)``, SO_PEERCRED.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from ostiary.doors.servers.client.one_time import Pass
from ostiary.errors import Denied

SECONDS = 180.0
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Process:
    number: int
    began: str


def credentials(connection: socket.socket) -> tuple[int, int]:
    """Number and user of the process at the other end: of the one that listened, where this side has connected."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    number, user, _ = _CREDENTIALS.unpack(raw)
    return number, user


def peer(connection: socket.socket, uid: int) -> Process:
    """The process at the other end. Denied for another user's."""
    number, user = credentials(connection)
    if user != uid:
        raise Denied("refuse to talk", why=f"user {user} asks for what is user {uid}'s")
    return _process(number)


def parent(process: Process) -> Process:
    """The process that started this one: for an entry file the ``ssh`` that the certificate is for."""
    return _process(int(_stat(process.number)[1]))


def _process(number: int) -> Process:
    return Process(number, _stat(number)[19])


def _stat(number: int) -> list[str]:
    """Fields from the third on. Denied when the process is gone, or not to be seen from here."""
    try:
        text = Path("/proc", str(number), "stat").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Denied("refuse to talk", why=f"process {number} is not to be seen") from error
    return text.rpartition(")")[2].split()


class Passes:
    """Passes by process. Each is forgotten when it is used, or after 180 s."""

    def __init__(self) -> None:
        self._held: dict[Process, tuple[Pass, float]] = {}
        self._lock = threading.Lock()

    def put(self, process: Process, one: Pass) -> None:
        with self._lock:
            self._held[process] = (one, time.monotonic() + SECONDS)

    def get(self, process: Process) -> Pass | None:
        self.prune()
        with self._lock:
            held = self._held.get(process)
            return held[0] if held else None

    def forget(self, process: Process) -> None:
        with self._lock:
            self._held.pop(process, None)

    def prune(self) -> None:
        """Forget what is too old."""
        now = time.monotonic()
        with self._lock:
            self._held = {key: value for key, value in self._held.items() if value[1] > now}

    def __len__(self) -> int:
        with self._lock:
            return len(self._held)
