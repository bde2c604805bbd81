"""Sockets in another network namespace, and a relay between two: a socket belongs to where the thread was that made it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def within(pid: int, make: Callable[[], T]) -> T:
    """What ``make`` gives in the network of process ``pid``. Only a thread of its own goes there, and ends."""
    results: list[T] = []
    errors: list[BaseException] = []

    def go() -> None:
        try:
            _enter(pid)
            results.append(make())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            errors.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _enter(pid: int) -> None:
    with open(f"/proc/{pid}/ns/net") as file:  # noqa: PTH123 - only its descriptor is wanted
        if _libc.setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def listening(pid: int, address: str, port: int) -> socket.socket:
    """A listening socket there; ``address`` "" for all of them, port 0 for any."""

    def make() -> socket.socket:
        return socket.create_server((address, port), backlog=512)

    return within(pid, make)


def connected(pid: int, address: str, port: int) -> socket.socket:
    return within(pid, lambda: socket.create_connection((address, port), timeout=10))


class Relay:
    """Passes TCP connections on, a pair of threads each, until closed."""

    def __init__(self, pid: int, address: str, port: int, *, inward: bool) -> None:
        self._inward = inward
        if inward:
            self._listener = listening(pid, address, port)
            self._connect = lambda: socket.create_connection(("127.0.0.1", port), timeout=10)
        else:
            self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
            self._connect = lambda: connected(pid, address, port)
        self.port = port
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(near,), daemon=True).start()

    def _pass(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), self._connect() as far:
            far.settimeout(None)
            for one in (
                near,
                far,
            ):  # else a small part waits 40 ms for the receipt of the one before
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= {near, far}
            back = threading.Thread(target=copy, args=(far, near), daemon=True)
            back.start()
            copy(near, far)
            back.join()
            self._open -= {near, far}


def copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
