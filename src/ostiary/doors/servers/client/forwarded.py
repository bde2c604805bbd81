"""``ssh -A`` to a server of ours: whoever asks through it is answered by the person's own agent, never by this one.

``ssh`` forwards the agent that ``IdentityAgent`` names, which is ours, and says so first on each such connection (OpenSSH
PROTOCOL.agent section 1, session-bind with ``is_forwarding``). The person's own agent is the SSH_AUTH_SOCK with which that
``ssh`` was started (``proc(5)``, environ).
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from ostiary.doors.servers.client.agent_protocol import (
    EXTENSION,
    FAILURE,
    MOST_BYTES,
    SESSION_BIND,
)
from ostiary.doors.servers.client.passes import Process, credentials
from ostiary.errors import OstiaryError
from ostiary.pki.ssh_wire import Reader

_VARIABLE = b"SSH_AUTH_SOCK="
CONNECT_SECONDS = 5.0


def is_forwarded(message: bytes) -> bool:
    """Whether a message says that somebody on another host asks from now on."""
    reader = Reader(message)
    with contextlib.suppress(OstiaryError):
        if reader.byte() == EXTENSION and reader.text() == SESSION_BIND:
            for _ in ("host key", "session id", "signature"):
                reader.string()
            return reader.byte() != 0
    return False


def own_agent(process: Process) -> OwnAgent | None:
    """The agent of the person who started ``ssh``; None where there is none that answers, or only we or another user's."""
    try:
        variables = Path("/proc", str(process.number), "environ").read_bytes().split(b"\0")
        named = [one.removeprefix(_VARIABLE) for one in variables if one.startswith(_VARIABLE)]
        found = OwnAgent(named[0]) if named and named[0] else None
    except OSError:
        return None
    if found is not None and found.is_anothers:
        found.close()
        return None
    return found


def nobody(_: bytes) -> bytes:
    """The answer where no agent of the person's own is: what is asked through another host is never asked of this one."""
    return FAILURE


class OwnAgent:
    """A connection to an agent, message by message. OSError where nobody listens at ``path``."""

    def __init__(self, path: bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(CONNECT_SECONDS)
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._socket.settimeout(None)
        self._stream = self._socket.makefile("rb")

    def __enter__(self) -> OwnAgent:  # noqa: PYI034 - nobody inherits
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_anothers(self) -> bool:
        """Whether another user listens there, or this process itself: it would ask itself for ever."""
        number, user = credentials(self._socket)
        return user != os.getuid() or number == os.getpid()

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def answer(self, message: bytes) -> bytes:
        """Its answer, without length; it may take as long as the person who is asked there. FAILURE when it has gone."""
        with contextlib.suppress(OSError):
            self._socket.sendall(len(message).to_bytes(4, "big") + message)
            size = int.from_bytes(self._stream.read(4), "big")
            answer = self._stream.read(size) if size <= MOST_BYTES else b""
            if len(answer) == size:
                return answer or FAILURE
        return FAILURE
