"""What is asked through ``ssh -A``: known by its first message, answered by the person's own agent or by nobody."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from ostiary.doors.servers.client.agent_protocol import FAILURE, SESSION_BIND
from ostiary.doors.servers.client.forwarded import OwnAgent, is_forwarded, own_agent
from ostiary.doors.servers.client.passes import Process
from ostiary.pki.ssh_wire import string

BIND = b"\x1b" + b"".join(map(string, (SESSION_BIND.encode(), b"key", b"session", b"signature")))


def test_it_is_told_by_the_flag_of_the_first_message():
    assert is_forwarded(BIND + b"\1")
    assert not is_forwarded(BIND + b"\0")


@pytest.mark.parametrize("message", [b"", b"\x0b", b"\x1b", BIND, BIND[:20], b"\x0d" + BIND[1:]])
def test_what_is_no_such_message_is_not_forwarded(message):
    assert not is_forwarded(message)


@pytest.mark.parametrize("variables", [{}, {"SSH_AUTH_SOCK": ""}, {"SSH_AUTH_SOCK": "/nowhere"}])
def test_whoever_has_no_agent_has_none(variables):
    asker = subprocess.Popen(["/bin/sleep", "60"], env=variables)
    try:
        assert own_agent(Process(asker.pid, "")) is None
    finally:
        asker.kill()
        asker.wait()
    assert own_agent(Process(asker.pid, "")) is None, "it is gone"


@pytest.fixture
def asker():
    """A process that has ``path`` for its agent, where anybody may listen."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    path = folder / "own"
    process = subprocess.Popen(["/bin/sleep", "60"], env={"SSH_AUTH_SOCK": str(path)})
    yield Process(process.pid, ""), path
    process.kill()
    process.wait()
    shutil.rmtree(folder)


def test_whoever_names_this_very_process_as_agent_has_none(asker):
    process, path = asker
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        assert own_agent(process) is None


@pytest.mark.root
def test_the_agent_of_another_user_is_not_theirs(asker):
    process, path = asker
    code = (
        "import os, socket, sys; one = socket.socket(socket.AF_UNIX); one.bind(sys.argv[1]);"
        "os.setuid(int(sys.argv[2])); one.listen(); print(flush=True); sys.stdin.read()"
    )
    for user, is_theirs in ((65534, False), (os.getuid(), True)):
        with subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code, str(path), str(user)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as listening:
            listening.stdout.readline()
            own = own_agent(process)
            listening.stdin.close()
        path.unlink()
        assert (own is not None) == is_theirs
        if own is not None:
            own.close()


def test_an_agent_that_takes_nobody_in_holds_nobody_up(asker):
    process, path = asker
    with contextlib.ExitStack() as ending:
        listening = ending.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(path))
        listening.listen(0)
        waiting = ending.enter_context(socket.socket(socket.AF_UNIX))
        waiting.connect(str(path))
        began = time.monotonic()
        assert own_agent(process) is None
        assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"\0\0\0\2\x0c\0", b"\x0c\0"),
        (b"", FAILURE),
        (b"\0\0\0\0", FAILURE),
        (b"\xff\xff\xff\xff", FAILURE),
        (b"\0\0\0\2\x0c", FAILURE),
    ],
)
def test_an_agent_that_goes_away_or_says_too_much_fails(tmp_path, said, answer):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "own"))
        listening.listen()

        def one_agent():
            near, _ = listening.accept()
            with near:
                near.recv(100)
                near.sendall(said)

        serving = threading.Thread(target=one_agent)
        serving.start()
        with OwnAgent(str(tmp_path / "own").encode()) as own:
            assert own.answer(b"\x0b") == answer
        serving.join()
