"""The probes say what they saw of a server on loopback."""

import http.server
import socket
import ssl
import threading

import pytest

from ostiary.doors.gateway.deploy.probes import probe_api, probe_tls
from ostiary.sandbox.authority import write_authority


class _Gateway(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append((self.path, self.headers["host"]))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Tests have nothing to say on stderr."""


@pytest.fixture
def gateway(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Gateway)
    server.seen, server.status = [], 401
    _, chain, key = write_authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def port_of(server):
    return server.server_address[1]


def test_what_answers_is_alive_though_nobody_vouches_for_its_certificate(gateway):
    probe = probe_tls("127.0.0.1", port_of(gateway))
    assert probe.state == "alive"
    assert "TLSv1.3, certificate SHA-256 " in probe.told


def test_nothing_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert probe_tls("127.0.0.1", free.getsockname()[1]).state == "refused"


def test_it_listens_and_says_nothing():
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        assert probe_tls("127.0.0.1", mute.getsockname()[1], seconds=0.2).state == "silent"
        assert probe_api("127.0.0.1", "", mute.getsockname()[1], seconds=0.2).state == "off"


@pytest.mark.parametrize(
    ("status", "state"), [(401, "alive"), (403, "alive"), (404, "off"), (200, "off"), (302, "off")]
)
def test_the_api_is_on_where_it_asks_for_a_token(gateway, status, state):
    gateway.status = status
    probe = probe_api("127.0.0.1", "gw.acme.example", port_of(gateway))
    assert (probe.state, probe.needed) == (state, False)
    assert gateway.seen == [("/api/v2/apps", "gw.acme.example")]
