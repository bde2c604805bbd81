"""Talking to the control plane: what is no answer, what is a refusal, what is signed, and that nothing is waited for for ever."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ostiary.doors.servers.agent import identity
from ostiary.doors.servers.agent.control import Control, NoAnswer, Refused
from ostiary.doors.servers.agent.files import HostError, Paths
from ostiary.doors.servers.wire.host import HEADER, NAMESPACE, Challenge
from ostiary.doors.servers.wire.message import MOST_BYTES, encode
from ostiary.doors.servers.wire.person import Refusal
from ostiary.pki import sshsig


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ssh")
    key = folder / "ssh_host_ed25519_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return Paths(ssh=folder, var=folder)


@contextlib.contextmanager
def served(*answers, challenge=None):
    """A control plane that gives these (status, body) in turn after each challenge; its URL and what it heard."""
    heard = []
    waiting = list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.path.endswith("/challenge"):
                status, content = 200, challenge or encode(Challenge("a-challenge", time.time()))
            else:
                heard.append((self.command, self.path, self.headers[HEADER], body))
                status, content = waiting.pop(0)
            self.send_response(status)
            if status != 304:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content if status != 304 else b"")

        do_GET = do_POST  # noqa: N815 - http.server's name

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", heard
        finally:
            server.shutdown()
            thread.join()


def test_each_call_is_signed_over_method_path_challenge_and_body(paths):
    with served((204, b"")) as (url, heard):
        Control(url, paths).call("POST", "/v1/hosts/report?x=1", b"body", server_id="srv_1")
    method, path, header, body = heard[0]
    server_id, challenge, signature = header.split(" ")
    assert (server_id, challenge) == ("srv_1", "a-challenge")
    message = "\n".join((method, path, challenge, hashlib.sha256(body).hexdigest()))
    key = sshsig.verify(signature, NAMESPACE, message.encode())
    assert key.text() == identity.host_key(paths)


@pytest.mark.parametrize("status", [200, 201, 204, 304])
def test_these_are_answers(paths, status):
    with served((status, b"x" if status < 204 else b"")) as (url, _):
        assert Control(url, paths).call("GET", "/v1/x").status == status


def test_a_refusal_carries_code_why_and_fix(paths):
    said = encode(Refusal("bad-token", "it is used up", "make another"))
    with served((403, said)) as (url, _), pytest.raises(Refused) as caught:
        Control(url, paths).call("POST", "/v1/hosts/enroll")
    error = caught.value
    assert (error.code, error.why, error.fix) == ("bad-token", "it is used up", "make another")


@pytest.mark.parametrize(
    ("path", "refusal", "told"),
    [
        (
            "/v1/hosts/enroll",
            Refusal("bad-token", "it is used up", "run: ostiary servers token create shop"),
            "cannot enroll web1 at {}: it is used up; run: ostiary servers token create shop",
        ),
        (
            "/v1/hosts/state?generation=3&wait=25",
            Refusal("retired", "the server is retired", "sign again"),
            (
                "cannot ask who may enter web1 at {}: the server is retired;"
                " run: ostiary agent remove --offline"
            ),
        ),
        (
            "/v1/hosts/report",
            Refusal("too-large", "longer than 4 MB"),
            "cannot report how web1 is at {}: longer than 4 MB; ask who administers the project, with this line",
        ),
        (
            "/v1/hosts/retire",
            Refusal("no-server", "no server has this id"),
            "cannot retire web1 at {}: no server has this id; run: ostiary agent remove --offline",
        ),
    ],
)
def test_a_refusal_says_what_of_which_host_and_what_to_do(paths, path, refusal, told):
    with served((403, encode(refusal))) as (url, _), pytest.raises(Refused) as caught:
        Control(url, paths, name="web1").call("POST", path)
    assert caught.value.told == told.format(url.partition("//")[2])


def test_what_no_control_plane_says_is_told_in_words_too(paths):
    with served((502, b"<html>bad gateway")) as (url, _), pytest.raises(NoAnswer) as caught:
        Control(url, paths, name="web1").call("GET", "/v1/hosts/state?generation=0&wait=0")
    where = url.partition("//")[2]
    assert caught.value.told == (
        f"cannot ask who may enter web1 at {where}: it answered 502 and did not say why;"
        " see that ostiary serve answers at this URL"
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, encode(Refusal("x", "y"))),
        (503, b""),
        (429, encode(Refusal("busy", "y"))),
        (404, b"<html>no such page</html>"),
        (302, b""),
        (403, b"[1]"),
    ],
)
def test_what_no_control_plane_says_is_no_answer(paths, status, body):
    with served((status, body)) as (url, _), pytest.raises(NoAnswer):
        Control(url, paths).call("GET", "/v1/x")


@pytest.mark.parametrize(
    "challenge", [b"{}", b"<html>", b"[" * 100_000, encode(Challenge("two\nlines", 1.0))]
)
def test_a_challenge_that_is_none_is_no_answer(paths, challenge):
    with served(challenge=challenge) as (url, _), pytest.raises(NoAnswer):
        Control(url, paths).call("GET", "/v1/x")


def test_an_answer_without_end_is_not_read_without_end(paths):
    with served((200, b"x" * (MOST_BYTES + 100_000))) as (url, _):
        assert len(Control(url, paths).call("GET", "/v1/x").body) == MOST_BYTES + 1


def test_silence_is_no_answer_after_its_time(paths):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        control = Control(f"http://127.0.0.1:{silent.getsockname()[1]}", paths)
        began = time.monotonic()
        with pytest.raises(NoAnswer):
            control.call("GET", "/v1/x", seconds=0.3)
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "url",
    ["", "ftp://x", "https://", "http://control.example", "https://x:99999", "control.example"],
)
def test_urls_that_are_none_or_not_encrypted(paths, url):
    with pytest.raises(HostError):
        Control(url, paths)


def test_a_ca_file_that_is_none_is_said_so(paths, tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    for file in ("ca.pem", "absent.pem"):
        with pytest.raises(HostError, match="certificate authority"):
            Control("https://control.example", paths, str(tmp_path / file))


def test_an_ssh_keygen_that_is_too_old_is_told_apart(paths, tmp_path, monkeypatch):
    old = tmp_path / "ssh-keygen"
    old.write_text("#!/bin/sh\necho 'unknown option -- Y' >&2\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setattr("ostiary.doors.servers.agent.run.PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError) as caught:
        identity.proof(paths, "", "challenge", ("GET", "/", b""))
    assert caught.value.fix == "install OpenSSH 8.1 or later"


def test_who_does_not_answer_is_said_with_a_way_on(paths):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NoAnswer) as no:
        Control(f"http://127.0.0.1:{port}", paths).call("GET", "/v1/host/challenge")
    assert (no.value.what, no.value.why) == (
        f"no answer from 127.0.0.1:{port}",
        "Connection refused",
    )
    assert "see that ostiary serve runs there" in no.value.fix


@pytest.mark.parametrize(
    "part", [b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n"]
)
def test_an_answer_that_comes_byte_by_byte_ends(paths, part):
    """Each part is in time, so only the whole can be too late: an agent that waits for ever removes nobody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_drip, args=(listening, part), daemon=True).start()
        began = time.monotonic()
        with pytest.raises(NoAnswer):
            Control(f"http://127.0.0.1:{listening.getsockname()[1]}", paths).call(
                "GET", "/v1/hosts/state", seconds=0.3
            )
    assert 0.5 < time.monotonic() - began < 5


def _drip(listening, part):
    connection, _ = listening.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(part)
        for _ in range(600):
            connection.sendall(b"x")
            time.sleep(0.05)
