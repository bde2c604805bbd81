"""A control plane whose certificate is not believed: what is said about it, and what to do."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ostiary.doors.servers.client.control_api import Control
from ostiary.errors import Unreachable


@pytest.fixture
def service(tmp_path):
    """``service(name, days)`` listens with a certificate of ``name`` for so many days, or with none (None: says
    nothing either); gives port and file.
    """
    listening = []

    def start(name, days=1):
        file = tmp_path / "service.pem"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if name:
            file.write_bytes(_certificate(name, days))
            context.load_cert_chain(file)
        one = socket.create_server(("127.0.0.1", 0))
        listening.append(one)
        threading.Thread(target=_serve, args=(one, context if name else name)).start()
        return one.getsockname()[1], str(file)

    yield start
    for one in listening:
        one.shutdown(socket.SHUT_RDWR)
        one.close()


@pytest.mark.parametrize(
    ("name", "days", "trusted", "why", "fix"),
    [
        ("localhost", 1, False, "self-signed certificate", " --ca FILE, or export OSTIARY_"),
        ("localhost", -1, True, "certificate has expired", "date -u"),
        ("other.example", 1, True, "hostname mismatch, .* not valid for 'localhost'$", "the name"),
        ("", 1, False, "it speaks no TLS there", "run: ostiary login --control http://localhost:"),
        (None, 1, False, "it closed the connection without an answer", "see that it runs"),
    ],
)
def test_a_certificate_that_is_not_trusted(service, name, days, trusted, why, fix):
    port, file = service(name, days)
    with pytest.raises(Unreachable, match=why) as caught:
        Control(f"https://localhost:{port}", file if trusted else "").call("GET", "/v1/projects")
    assert fix in caught.value.fix


def _serve(listening, context):
    """Takes one connection: it speaks TLS, or says what a service of plain http does."""
    try:
        connection, _ = listening.accept()
    except OSError:
        return
    with connection:
        try:
            if context:
                context.wrap_socket(connection, server_side=True).close()
            elif connection.recv(1000) and context is not None:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        except OSError:
            return


def _certificate(name, days):
    """Key and certificate, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    itself = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a service")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(itself)
        .issuer_name(itself)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + made.public_bytes(Encoding.PEM)
