"""The resident agent: one process that holds a sign-in, the keys of the moment and a connection to the control plane.

Started by ``ostiary login`` with what it holds on its standard input; it says ``ready`` and stays until the session
ends, nobody asked anything for a while, or it is told to go. Nobody but its user may talk to it, nobody may read its
memory (``prctl(2)``, PR_SET_DUMPABLE; no core dumps), and it writes no key and no certificate anywhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from ostiary.doors.servers.client import entry_words, place, talk
from ostiary.doors.servers.client.agent_protocol import FAILURE, MOST_BYTES, Conversation
from ostiary.doors.servers.client.answers import Answer, Answers
from ostiary.doors.servers.client.closed import close_to_others
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.client.credentials import of_session
from ostiary.doors.servers.client.forwarded import is_forwarded, nobody, own_agent
from ostiary.doors.servers.client.known_hosts import KnownHosts
from ostiary.doors.servers.client.listed import Listed
from ostiary.doors.servers.client.passes import Passes, Process, peer
from ostiary.doors.servers.wire.message import decode
from ostiary.doors.servers.wire.person import Servers, Session
from ostiary.errors import Conflict, OstiaryError, UsageError

IDLE_SECONDS = 4 * 3600.0
LEAVE_SECONDS = 15.0  # for the one before
MOST_AT_ONCE = 256
MOST_FORWARDED = 64  # of them: hosts open such connections as they like, and leave them open
MOST_LINE = 64 * 1024
Serves = Callable[[socket.socket, Process], None]


class Resident:
    """The two sockets in ``folder`` and who answers there."""

    def __init__(self, folder: Path, control: Control, session: Session, names: Path) -> None:
        self._folder = folder
        self._session = session
        self._ended = threading.Event()
        self._asked = time.monotonic()
        self._passes = Passes()
        self._seats = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._forwarded = threading.BoundedSemaphore(MOST_FORWARDED)
        self._listed = Listed(
            lambda: control.call("GET", "/v1/servers", kind=Servers).servers, names
        )
        self._answers = Answers(
            control,
            session,
            self._listed,
            self._passes,
            KnownHosts(folder / place.KNOWN_HOSTS),
            end=self._ended.set,
        )

    def run(self, ready: Callable[[], None]) -> None:
        """Answer until the end; the sockets are there when ``ready`` is called, and gone afterwards."""
        with contextlib.ExitStack() as stack:
            for name, serve in ((place.TALK, self._talk), (place.AGENT, self._agent)):
                listening = stack.enter_context(self._listening(name))
                threading.Thread(
                    target=self._accept, args=(listening, serve), name=name, daemon=True
                ).start()
            ready()
            threading.Thread(target=self._listed.known, args=("",), daemon=True).start()
            while (left := self._left()) > 0:
                self._ended.wait(min(5.0, left))
                self._passes.prune()

    def end(self) -> None:
        self._ended.set()

    def _left(self) -> float:
        """Seconds until the session ends, or nobody has asked anything for too long."""
        if self._ended.is_set():
            return 0.0
        idle = self._asked + IDLE_SECONDS - time.monotonic()
        return min(idle, self._session.expires - time.time())

    @contextlib.contextmanager
    def _listening(self, name: str) -> Iterator[socket.socket]:
        file = self._folder / name
        file.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            before = os.umask(0o177)
            try:
                listening.bind(str(file))
            finally:
                os.umask(before)
            listening.listen(128)
            try:
                yield listening
            finally:
                file.unlink(missing_ok=True)

    def _accept(self, listening: socket.socket, serve: Serves) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:  # closed: the end
                return
            self._asked = time.monotonic()
            threading.Thread(target=self._serve, args=(connection, serve), daemon=True).start()

    def _serve(self, connection: socket.socket, serve: Serves) -> None:
        with self._seats, connection, contextlib.suppress(OSError, OstiaryError):
            connection.settimeout(60)
            serve(connection, peer(connection, os.getuid()))

    def _talk(self, connection: socket.socket, asker: Process) -> None:
        with connection.makefile("rb") as stream:
            line = stream.readline(MOST_LINE)

        def say(answer: Answer) -> None:
            text = json.dumps(answer) + "\n" if is_json else entry_words.answer(answer)
            connection.sendall(text.encode())

        is_json = line.startswith(b"{")
        try:
            asked = json.loads(line) if is_json else entry_words.question(line.decode())
        except (ValueError, RecursionError):
            return
        self._answers.answer(asked, asker, say)

    def _agent(self, connection: socket.socket, asker: Process) -> None:
        connection.settimeout(None)  # as long as ssh likes
        conversation = Conversation(
            lambda: self._passes.get(asker),
            lambda: self._passes.forget(asker),
            self._answers.refusals.append,
        )
        answering: Callable[[bytes], bytes] = conversation.answer
        with contextlib.ExitStack() as ending, connection.makefile("rb") as stream:
            for message in _messages(stream):
                if answering == conversation.answer and is_forwarded(message):
                    if not self._forwarded.acquire(blocking=False):
                        return
                    ending.callback(self._forwarded.release)
                    own = own_agent(asker)
                    answering = ending.enter_context(own).answer if own else nobody
                answer = answering(message) or FAILURE
                connection.sendall(len(answer).to_bytes(4, "big") + answer)


def _messages(stream: IO[bytes]) -> Iterator[bytes]:
    """Those of the agent protocol, each without its length, until one is none."""
    while len(head := stream.read(4)) == 4:  # noqa: PLR2004 - bytes of a length
        size = int.from_bytes(head, "big")
        message = stream.read(size) if 0 < size <= MOST_BYTES else b""
        if not message:
            return
        yield message


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """At most one resident agent in a folder: whoever is there is told to go, also one that came at the same moment.

    Conflict where it does not.
    """
    ends = time.monotonic() + LEAVE_SECONDS
    with (folder / "lock").open("w", encoding="ascii") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise Conflict(
                        "cannot hold a sign-in",
                        why=f"the resident agent of another sign-in has {folder / 'lock'} and does not go",
                        fix=f"end it, see: fuser {folder / 'lock'}",
                    ) from None
            with contextlib.suppress(OstiaryError):
                talk.ask(folder, "end")
            time.sleep(0.05)
        yield


def main(given: IO[str], ready: Callable[[], None]) -> None:
    """Hold what ``given`` says: one line with control, ca and the message of the session."""
    if not hasattr(socket, "SO_PEERCRED"):
        raise UsageError(
            "cannot hold a sign-in on this system",
            why="the resident agent knows who asks by SO_PEERCRED and /proc, which Linux has",
            fix="run it on Linux",
        )
    close_to_others()
    held = json.loads(given.readline())
    session = decode(Session, held["session"].encode())
    folder = place.private_folder(place.run_folder())
    with alone(folder):
        control = Control(held["control"], held["ca"], of_session(session))
        resident = Resident(folder, control, session, place.config_folder() / "servers")
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, lambda *_: resident.end())
        with control:
            resident.run(ready)


def _ready() -> None:
    """Tell who started us, and let go of everything of theirs."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.chdir("/")


if __name__ == "__main__":
    try:
        main(sys.stdin, _ready)
    except OstiaryError as failed:
        sys.stdout.write(json.dumps(failed.as_json()) + "\n")
        sys.exit(failed.exit_code)
    except OSError as failed:
        unable = place.unwritable(Path(failed.filename or place.run_folder()), failed)
        sys.stdout.write(json.dumps(unable.as_json()) + "\n")
        sys.exit(unable.exit_code)
