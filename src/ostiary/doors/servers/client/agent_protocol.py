"""The SSH agent protocol as far as a one-time pass needs it: list, sign, session-bind; everything else fails.

Source: draft-ietf-sshm-ssh-agent, OpenSSH PROTOCOL.agent. Sans-IO: a message goes in without its length, and comes out
so.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ostiary.doors.servers.client.one_time import Pass, Session, bind, sign
from ostiary.errors import OstiaryError
from ostiary.pki.ssh_wire import Reader, encoded, string, u32

FAILURE, SUCCESS = b"\x05", b"\x06"
REQUEST_IDENTITIES, IDENTITIES_ANSWER = 11, 12
SIGN_REQUEST, SIGN_RESPONSE = 13, 14
EXTENSION = 27
SESSION_BIND = "session-bind@openssh.com"
MOST_BYTES = 256 * 1024  # of a message: OpenSSH's own bound


class Conversation:
    """One connection to the agent's socket, by a process for which ``find`` gives its pass, or None.

    ``used`` is told when the pass has signed, and ``said`` hears why something was refused.
    """

    def __init__(
        self,
        find: Callable[[], Pass | None],
        used: Callable[[], None],
        said: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._find = find
        self._used = used
        self._said = said
        self._clock = clock
        self._session: Session | None = None

    def answer(self, message: bytes) -> bytes:
        """The answer to one message; FAILURE for whatever is unknown, broken or refused."""
        try:
            return self._answered(message)
        except OstiaryError as refused:
            self._said(str(refused))
            return FAILURE

    def _answered(self, message: bytes) -> bytes:
        reader = Reader(message)
        kind = reader.byte()
        one = self._find()
        if kind == REQUEST_IDENTITIES:
            listed = (
                string(one.blob) + string(encoded(one.comment)) if one and not one.used else b""
            )
            return bytes((IDENTITIES_ANSWER,)) + u32(1 if listed else 0) + listed
        if one is None:
            return FAILURE
        if kind == EXTENSION and reader.text() == SESSION_BIND:
            if self._session is not None:
                self._said("refuse to bind twice: the agent would be used through another host")
                return FAILURE
            self._session = bind(one.issued, message[reader.at :], self._clock)
            return SUCCESS
        if kind == SIGN_REQUEST and self._session is not None:
            blob, data = reader.string(), reader.string()
            signature = sign(one, self._session, blob, data)
            self._used()
            return bytes((SIGN_RESPONSE,)) + string(signature)
        return FAILURE
