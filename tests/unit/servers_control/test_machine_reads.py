"""What is read from afar ends in time, wherever the other side takes its own; and what was left is cut."""

import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ostiary.doors.servers.control.machine_reads import Reads, TooLong

IN_ALL = 0.6
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n"


@pytest.fixture
def there(tmp_path):
    """``there(said, tls)`` says that, then a byte every tenth of a second; its URL, and what is set when it is cut."""
    open_ones = []

    def start(said, tls=False, drop=b"x"):
        listening = socket.create_server(("127.0.0.1", 0))
        open_ones.append(listening)
        context, cut = _context(tmp_path) if tls else None, threading.Event()
        threading.Thread(target=_serve, args=(listening, context, said, drop, cut)).start()
        url = f"http{'s' if tls else ''}://127.0.0.1:{listening.getsockname()[1]}/"
        return url, cut

    yield start
    for one in open_ones:
        one.shutdown(socket.SHUT_RDWR)
        one.close()


def _context(folder):
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1)
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    pem = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    file = folder / "issuer.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def _serve(listening, context, said, drop, cut):
    while True:
        try:
            found, _ = listening.accept()
        except OSError:
            return
        try:
            if context is not None:
                found = context.wrap_socket(found, server_side=True)
            found.recv(4096)
            found.sendall(said)
            while drop:
                found.sendall(drop)
                time.sleep(0.1)
        except OSError:
            cut.set()
        finally:
            found.close()


@pytest.fixture
def reads():
    with httpx2.Client(verify=False) as http:
        yield Reads(http, at_once=1)


def get(reads, url, seconds=IN_ALL, most=100):
    return reads.get(url, until=time.monotonic() + seconds, most=most)


@pytest.mark.parametrize("tls", [False, True])
def test_an_answer_that_is_whole(reads, there, tls):
    url, _ = there(HEAD + b"\r\nabc", tls, b"")
    for _ in range(3):
        assert get(reads, url, 10) == (200, b"abc")
    refused, _ = there(b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", tls, b"")
    assert get(reads, refused, 10) == (302, b"")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\nx: ", HEAD.replace(b"3", b"90") + b"\r\n"],
    ids=["status", "headers", "body"],
)
def test_who_answers_a_byte_now_and_then_is_late_and_cut(reads, there, said, tls):
    url, cut = there(said, tls)
    began = time.monotonic()
    with pytest.raises(httpx2.TimeoutException, match="too long to answer in all"):
        get(reads, url)
    assert time.monotonic() - began < IN_ALL + 1
    assert cut.wait(5), "nobody reads on"
    whole, _ = there(HEAD + b"\r\nabc", tls, b"")
    assert _in_a_while(lambda: get(reads, whole, 5)) == (200, b"abc"), "its place is another's"


def test_a_handshake_is_bounded_too(reads, there):
    """A record of TLS whose bytes come one by one."""
    url, cut = there(b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xf0")
    began = time.monotonic()
    with pytest.raises(httpx2.TransportError):
        get(reads, url.replace("http:", "https:"))
    assert time.monotonic() - began < IN_ALL + 1
    assert cut.wait(5)


def test_no_more_are_waited_for_than_there_are_places(reads, there):
    url, _ = there(b"")
    waiting = threading.Thread(target=_late, args=(reads, url))
    waiting.start()
    time.sleep(0.1)
    began = time.monotonic()
    with pytest.raises(httpx2.PoolTimeout):
        get(reads, url, 10)
    assert time.monotonic() - began < 0.3
    waiting.join()


def test_an_answer_is_no_longer_than_it_may_be(reads, there):
    url, _ = there(HEAD.replace(b"3", b"4000") + b"\r\n" + b"x" * 4000, drop=b"")
    with pytest.raises(TooLong):
        get(reads, url, 10)


def _late(reads, url):
    with pytest.raises(httpx2.TimeoutException):
        get(reads, url)


def _in_a_while(ask):
    deadline = time.monotonic() + 5
    while True:
        try:
            return ask()
        except httpx2.PoolTimeout:
            assert time.monotonic() < deadline
            time.sleep(0.02)
