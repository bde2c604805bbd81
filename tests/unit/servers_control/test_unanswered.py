"""What is said where another service gave no answer, and where this process ends."""

import socket
import threading

import httpx2
import pytest

from ostiary.doors.servers.control.duties import Duties, Duty
from ostiary.doors.servers.control.unanswered import reason
from ostiary.errors import Interrupted, Unreachable


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (httpx2.ConnectError("[Errno 111] Connection refused"), "connection refused"),
        (httpx2.ConnectError("[Errno -2] Name or service not known"), "name or service not known"),
        (httpx2.ReadTimeout("The read operation timed out"), "The read operation timed out"),
        (httpx2.ReadTimeout(""), "ReadTimeout"),
    ],
)
def test_a_reason_is_in_words(error, said):
    assert reason(error) == said


def test_a_service_that_is_not_there_is_said_to_refuse():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with httpx2.Client() as http, pytest.raises(httpx2.HTTPError) as refused:
        http.get(f"http://127.0.0.1:{port}/")
    assert reason(refused.value) == "connection refused"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Interrupted("cannot go on asking Okta", why="this process is ending"), ()),
        (Unreachable("cannot read the log", why="away"), ("okta: cannot read the log: away",)),
    ],
)
def test_that_the_process_ends_is_no_problem_of_a_duty(error, told, caplog):
    done = threading.Event()

    def work():
        done.set()
        raise error

    duties = Duties([Duty("okta", lambda: 60.0, work)])
    assert done.wait(10)
    duties.close()
    assert duties.problems() == told
    assert [one.getMessage() for one in caplog.records] == list(told)
