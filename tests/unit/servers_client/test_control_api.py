"""The client's HTTP: bounded, kept alive, refusals into the error tree."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ostiary.doors.servers.client import bounded_http, control_api, refusals
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.wire.admin import Projects
from ostiary.doors.servers.wire.message import IDLE_SECONDS, encode
from ostiary.doors.servers.wire.person import Refusal, ServerEntry, Servers
from ostiary.errors import (
    Conflict,
    Denied,
    NotFound,
    OstiaryError,
    StalePlan,
    Throttled,
    Unreachable,
    UsageError,
)


def answer(status: int, body: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def call(url: str, method: str, path: str, message: Any = None, kind: type | None = None) -> Any:
    with Control(url) as control:
        return control.call(method, path, message, kind)


@contextmanager
def peer(script: Callable[[socket.socket, int], None]) -> Iterator[str]:
    """A server that plays ``script`` with each connection and its number; gives its URL."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        number = 0
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                script(connection, number)
            number += 1

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return b""
        data += part
    return data


def always(status: int, body: bytes) -> Callable[[socket.socket, int], None]:
    def script(connection: socket.socket, _number: int) -> None:
        while request(connection):
            connection.sendall(answer(status, body))

    return script


def test_an_answer_is_read_on_one_connection() -> None:
    seen: list[tuple[int, bytes]] = []

    def script(connection: socket.socket, number: int) -> None:
        while got := request(connection):
            seen.append((number, got))
            connection.sendall(answer(200, encode(Projects(()))))

    with peer(script) as url:
        control = Control(url, "", lambda *_: {"Authorization": "Bearer tok"})
        assert control.call("GET", "/v1/projects", kind=Projects) == Projects(())
        assert control.call("GET", "/v1/projects", kind=Projects) == Projects(())
        control.close()
    assert [number for number, _ in seen] == [0, 0]
    assert b"Authorization: Bearer tok\r\n" in seen[0][1]


def test_a_connection_closed_meanwhile_is_not_used_again() -> None:
    def script(connection: socket.socket, _number: int) -> None:
        request(connection)
        connection.sendall(answer(200, encode(Projects(()))))

    with peer(script) as url:
        control = Control(url)
        for _ in range(3):
            assert control.call("GET", "/v1/projects", kind=Projects) == Projects(())
            threading.Event().wait(0.02)
        control.close()


def closing_when_asked_again(seen: list[int]) -> Callable[[socket.socket, int], None]:
    """The first connection ends as the second request comes: both sides find at once that it was kept for long enough."""

    def script(connection: socket.socket, number: int) -> None:
        while request(connection):
            seen.append(number)
            if seen == [0, 0]:
                return
            connection.sendall(answer(200, encode(Projects(()))))

    return script


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/projects"), ("POST", "/v1/certificates")]
)
def test_a_connection_that_ends_as_it_is_used_is_no_control_plane_that_is_away(
    method: str, path: str
) -> None:
    seen: list[int] = []
    with peer(closing_when_asked_again(seen)) as url, Control(url) as control:
        for _ in range(2):
            assert control.call(method, path, None, Projects) == Projects(())
    assert seen == [0, 0, 1]


def test_a_change_is_not_sent_twice_and_may_be_done() -> None:
    seen: list[int] = []
    with peer(closing_when_asked_again(seen)) as url, Control(url) as control:
        control.call("GET", "/v1/projects", kind=Projects)
        with pytest.raises(Unreachable) as caught:
            control.call("POST", "/v1/projects", None, Projects)
    assert caught.value.maybe_done
    assert seen == [0, 0]


def test_a_new_connection_that_ends_without_an_answer_is_not_tried_for_ever() -> None:
    seen: list[int] = []

    def script(connection: socket.socket, number: int) -> None:
        request(connection)
        seen.append(number)

    with peer(script) as url, pytest.raises(Unreachable):
        call(url, "GET", "/v1/projects", kind=Projects)
    assert seen == [0]


def test_a_connection_is_kept_for_less_than_the_control_plane_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert control_api.KEPT_SECONDS < IDLE_SECONDS
    monkeypatch.setattr(control_api, "KEPT_SECONDS", 0.05)
    seen: list[int] = []

    def script(connection: socket.socket, number: int) -> None:
        while request(connection):
            seen.append(number)
            connection.sendall(answer(200, encode(Projects(()))))

    with peer(script) as url, Control(url) as control:
        control.call("GET", "/v1/projects", kind=Projects)
        threading.Event().wait(0.1)
        control.call("GET", "/v1/projects", kind=Projects)
    assert seen == [0, 1]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid", UsageError),
        (401, "no-session", Denied),
        (403, "not-entitled", Denied),
        (404, "no-server", NotFound),
        (409, "in-use", Conflict),
        (412, "stale", StalePlan),
        (429, "rate", Throttled),
        (503, "busy", Throttled),
        (503, "audit-unavailable", Unreachable),
        (418, "tea", OstiaryError),
    ],
)
def test_a_refusal_keeps_its_code(status: int, code: str, kind: type[OstiaryError]) -> None:
    with (
        peer(always(status, encode(Refusal(code, "because", "ask alice")))) as url,
        pytest.raises(kind) as caught,
    ):
        call(url, "POST", "/v1/projects")
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.why, caught.value.fix) == (code, "because", "ask alice")


def test_an_error_says_what_was_wanted_in_the_words_of_who_asked() -> None:
    refusal = encode(Refusal("no-server", "because", ""))
    with peer(always(404, refusal)) as url, Control(url) as control:
        with pytest.raises(NotFound) as by_path:
            control.call("POST", "/v1/servers/srv_1/retire")
        with pytest.raises(NotFound) as by_name:
            control.call("POST", "/v1/servers/srv_1/retire", what="retire web1")
    assert by_path.value.what == "cannot retire server srv_1"
    assert by_name.value.what == "cannot retire web1"


@pytest.mark.parametrize(
    ("refusal", "status", "fix"),
    [
        (Refusal("no-session", "gone"), 401, "run: ostiary login"),
        (Refusal("step-up", "stronger"), 403, "run: ostiary login --step-up"),
        (Refusal("not-entitled", "no"), 403, ""),
        (
            Refusal("no-endpoint", "404 Not Found"),
            403,
            "have both of one version; compare: ostiary --version, ostiary servers status",
        ),
    ],
)
def test_a_refusal_without_fix_gets_one(refusal: Refusal, status: int, fix: str) -> None:
    with peer(always(status, encode(refusal))) as url, pytest.raises(Denied) as caught:
        call(url, "GET", "/v1/servers")
    assert caught.value.fix == fix


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("cannot sign in machine 'ci': there is none", "there is none"),
        ("cannot issue a certificate: nobody: knows", "nobody: knows"),
        ("cannot set the rules of ci: two are one", "cannot set the rules of ci: two are one"),
        ("ada may enter no server named web1: there is none", None),
        ("cannot sign in", None),
    ],
)
def test_why_is_not_what_failed_again(why: str, said: str | None) -> None:
    assert refusals.without_repeating("cannot sign in as machine ci", why) == (said or why)


def test_words_of_somebody_else_are_said_to_be_so() -> None:
    with peer(always(502, b"<html>")) as url, pytest.raises(Unreachable, match="HTTP status 502"):
        call(url, "GET", "/v1/servers")


@pytest.mark.parametrize("status", [302, 307, 304])
def test_a_redirection_is_followed_by_nobody_and_no_success(status: int) -> None:
    """A change that a proxy in between answered by showing its own sign-in was not made."""
    elsewhere = "Location: http://127.0.0.1:9/v1/devices/d\r\n"

    def script(connection: socket.socket, _number: int) -> None:
        request(connection)
        connection.sendall(answer(status, b"", elsewhere))

    with peer(script) as url, pytest.raises(OstiaryError, match=f"HTTP status {status}"):
        call(url, "DELETE", "/v1/devices/d")


def test_what_is_no_message_is_refused_and_a_change_may_be_done() -> None:
    with peer(always(200, b'{"v":2}')) as url, pytest.raises(Unreachable) as caught:
        call(url, "POST", "/v1/projects", None, Projects)
    assert caught.value.maybe_done


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        answer(200, b"x" * 10)[:-5],
        b"HTTP/1.1 200 X\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (5 * 1024 * 1024),
    ],
    ids=["closed", "nonsense", "cut", "too long"],
)
def test_broken_answers(raw: bytes) -> None:
    def script(connection: socket.socket, _number: int) -> None:
        request(connection)
        try:
            connection.sendall(raw)
        except OSError:
            return

    with peer(script) as url, pytest.raises(Unreachable) as caught:
        call(url, "GET", "/v1/projects", kind=Projects)
    assert not caught.value.maybe_done


def test_a_list_of_all_servers_may_be_longer_than_a_message() -> None:
    """Twenty thousand of them are more than 4 MiB: without a list ssh would know none."""
    one = ServerEntry(
        "srv_1", "web", "prod", "192.0.2.1", 22, "", {"l": "x" * 1000}, 0.0, ("login",)
    )
    with peer(always(200, encode(Servers((one,) * 5000)))) as url:
        assert len(call(url, "GET", "/v1/servers", kind=Servers).servers) == 5000


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 200 X\r\nX: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "size of a chunk", "header", "not yet"],
)
def test_a_dripping_answer_ends(monkeypatch: pytest.MonkeyPatch, first: bytes, more: bytes) -> None:
    monkeypatch.setattr(bounded_http, "SECONDS", 0.3)

    def script(connection: socket.socket, _number: int) -> None:
        request(connection)
        connection.sendall(first)
        try:
            for _ in range(60):
                connection.sendall(more)
                threading.Event().wait(0.05)
        except OSError:
            return

    with peer(script) as url, pytest.raises(Unreachable, match="no whole answer"):
        call(url, "GET", "/v1/projects", kind=Projects)


@pytest.mark.parametrize(
    "url", ["http://control.example", "ftp://x", "https://", "https://a@b", "x", "https://h:99999"]
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        Control(url)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="connection refused"):
        Control(f"http://127.0.0.1:{port}").call("GET", "/v1/servers")


def test_an_authority_file_that_is_none() -> None:
    with pytest.raises(UsageError, match="authority"):
        Control("https://control.example", "/nowhere.pem")
