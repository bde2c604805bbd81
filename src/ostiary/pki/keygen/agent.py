"""``-U``: an authority whose private key an SSH agent holds.

Source: draft-ietf-sshm-ssh-agent sections 3.5 and 3.6 (list keys, sign), 5.3 (flags for RSA).
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

from ostiary.errors import OstiaryError
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_signature import algorithms_of
from ostiary.pki.ssh_wire import LONGEST, Reader, string, u32, unreadable

_LIST, _LISTED, _SIGN, _SIGNED = 11, 12, 13, 14
_RSA_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}


class AgentSigner:
    """Satisfies ``Signer``. The agent is that of ``SSH_AUTH_SOCK``; without it OstiaryError, as for keys it has not."""

    def __init__(self, public_key: PublicKey, algorithm: str | None = None) -> None:
        self.public_key = public_key
        self.algorithm = algorithm or algorithms_of(public_key)[0]
        if self.algorithm not in algorithms_of(public_key):
            why = f"a key of type {public_key.type} may not sign with {self.algorithm}"
            raise unreadable(why, "signature algorithm not supported")
        self._flags = _RSA_FLAGS.get(self.algorithm, 0)

    def knows_key(self) -> bool:
        """Whether the agent holds the private half."""
        answer = _ask(bytes((_LIST,)), _LISTED, "communication with agent failed")
        held = [(answer.string(), answer.string())[0] for _ in range(answer.u32())]
        return self.public_key.blob in held

    def sign(self, data: bytes) -> bytes:
        request = bytes((_SIGN,)) + string(self.public_key.blob) + string(data) + u32(self._flags)
        return _ask(request, _SIGNED, "agent refused operation").string()


def _ask(request: bytes, expected: int, refusal: str) -> Reader:
    with _connected() as connection:
        try:
            connection.sendall(string(request))
            answer = _exactly(connection, _size(_exactly(connection, 4)))
        except OSError as error:
            raise _failed(str(error.strerror), "communication with agent failed") from error
    reader = Reader(answer)
    if reader.byte() != expected:
        raise _failed("it answered with a refusal", refusal)
    return reader


def _size(head: bytes) -> int:
    size = Reader(head).u32()
    if size > LONGEST:
        raise _failed("its answer is too long", "communication with agent failed")
    return size


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise _failed("it hung up", "communication with agent failed")
        data += more
    return data


@contextlib.contextmanager
def _connected() -> Iterator[socket.socket]:
    place = os.environ.get("SSH_AUTH_SOCK", "")
    if not place:
        raise _failed("SSH_AUTH_SOCK is not set", "agent not present")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(place)
        except OSError as error:
            raise _failed(str(error.strerror), str(error.strerror)) from error
        yield connection


def _failed(why: str, code: str) -> OstiaryError:
    return OstiaryError("the SSH agent cannot be used", why=why, code=code)
