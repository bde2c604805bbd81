"""What is asked through ``ssh -A``: known by its first message, answered by the person's own agent or by nobody."""

import socket
import subprocess
import threading

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
