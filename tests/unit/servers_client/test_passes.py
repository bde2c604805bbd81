"""Who is at the other end of a socket, and whose pass is whose."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ostiary.doors.servers.client import passes
from ostiary.doors.servers.client.passes import Passes, Process, parent, peer
from ostiary.errors import Denied

CONNECT = (
    "import os, socket, sys\n"
    "if len(sys.argv) > 2: os.setuid(int(sys.argv[2]))\n"
    "with socket.socket(socket.AF_UNIX) as to:\n"
    "    to.connect(chr(0) + sys.argv[1]); to.sendall(b'x'); to.recv(1)\n"
)


@pytest.fixture
def caller():
    """``caller(uid)``: a connection from a process of its own, and that process; by a name that any user reaches."""
    name = f"ostiary-{secrets.token_hex(8)}"
    with contextlib.ExitStack() as stack, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        listening.settimeout(10)

        def call(*uid):
            process = subprocess.Popen([sys.executable, "-I", "-S", "-c", CONNECT, name, *uid])
            stack.callback(process.wait, 10)
            connection = stack.enter_context(listening.accept()[0])
            assert connection.recv(1) == b"x"
            return connection, process

        yield call


def test_the_process_at_the_other_end(caller):
    connection, process = caller()
    found = peer(connection, os.getuid())
    assert found.number == process.pid
    assert parent(found).number == os.getpid()


def test_another_user_is_refused(caller):
    if os.geteuid() != 0:
        text = "not run: needs root, who alone can be somebody else"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(text)
    connection, _ = caller("65534")
    with pytest.raises(Denied, match="user 65534 asks"):
        peer(connection, os.getuid())


def test_a_number_that_is_given_again_does_not_inherit():
    held, one = Passes(), SimpleNamespace()
    held.put(Process(77, "100"), one)
    assert held.get(Process(77, "100")) is one
    assert held.get(Process(77, "101")) is None


def test_a_pass_is_forgotten_when_used_and_when_old(monkeypatch):
    held, ours, other = Passes(), Process(1, "1"), Process(2, "1")
    held.put(ours, SimpleNamespace())
    held.put(other, SimpleNamespace())
    held.forget(ours)
    assert held.get(ours) is None
    assert len(held) == 1
    now = passes.time.monotonic()
    monkeypatch.setattr(passes, "time", SimpleNamespace(monotonic=lambda: now + 181))
    held.prune()
    assert len(held) == 0


def test_a_process_that_is_gone_has_no_name():
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "pass"])
    process.wait()
    with pytest.raises(Denied, match="not to be seen"):
        parent(Process(process.pid, "1"))
