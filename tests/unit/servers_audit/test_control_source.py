"""Reading an audit from a control plane that is busy, or answers what it should not."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from audit_files import PROJECT, new_signer, plain, sign

from ostiary.doors.servers.audit import control_source
from ostiary.doors.servers.audit.control_source import ControlSource
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.message import encode
from ostiary.doors.servers.wire.person import Refusal
from ostiary.errors import NotFound, Throttled, Unreachable

BUSY = (429, encode(Refusal("too-many", "it is asked too often")))
LONG = admin.AuditRow(PROJECT, 1, "t", "rules.changed", "x" * 100_000, "0" * 64)


def project():
    keys = [new_signer().public_key.text() for _ in range(3)]
    uses = zip(("user", "host", "host"), keys, strict=True)
    held = tuple(admin.Authority(f"ca_{k[-5:]}", use, "trusted", k, "", 0.0) for use, k in uses)
    return admin.Project(
        PROJECT, "prod", 60001, 63001, 60001, 63001, 1, "", admin.Settings(), (), (), held
    )


@pytest.fixture
def peer():
    """What answers are taken from, in order, is told to it; each is (status, body)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, body = answers.pop(0)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    answers, asked = [(200, encode(project()))], []
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    control = Control(f"http://127.0.0.1:{server.server_port}")
    yield ControlSource(control, "prod"), answers, asked
    control.close()
    server.shutdown()
    thread.join()
    server.server_close()


def test_its_host_authorities_are_those_that_sign_checkpoints(peer):
    source, _, asked = peer
    assert len(source.authorities) == 2
    assert asked == ["/v1/projects/prod"]


def test_where_it_asks_too_often_it_waits_and_goes_on(peer, monkeypatch):
    source, answers, asked = peer
    monkeypatch.setattr(control_source, "_WAIT", 0.01)
    rows = tuple(plain(3))
    signed = (sign(new_signer(), rows[2]),)
    answers += [BUSY, BUSY, (200, encode(admin.AuditRows(rows)))]
    answers += [BUSY, (200, encode(admin.Checkpoints(signed)))]
    assert tuple(source.rows(7)) == rows
    assert source.checkpoints(7) == signed
    assert asked[1:] == [
        *["/v1/projects/prod/audit?after=7"] * 3,
        *["/v1/projects/prod/checkpoints?after=7"] * 2,
    ]


def test_it_does_not_wait_for_ever(peer, monkeypatch):
    source, answers, _ = peer
    monkeypatch.setattr(control_source, "_WAIT", 0.0)
    answers += [BUSY] * 21
    with pytest.raises(Throttled):
        source.rows(0)


def test_a_long_row_is_read_and_what_is_none_is_refused(peer):
    source, answers, _ = peer
    answers += [(200, encode(admin.AuditRows((LONG,)))), (200, b"{}"), (200, b"<html>")]
    assert list(source.rows(0)) == [LONG]
    for _ in range(2):
        with pytest.raises(Unreachable):
            source.rows(0)
    answers.append((404, encode(Refusal("no-project", "there is none"))))
    with pytest.raises(NotFound):
        source.rows(0)
