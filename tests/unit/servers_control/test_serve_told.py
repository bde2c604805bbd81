"""What ``ostiary serve`` was told wrongly ends it before it serves, with the file or option by name."""

import datetime as dt

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from ostiary.cli import root
from ostiary.doors.servers.control import listening, serve
from ostiary.doors.servers.control.serve import ServeSettings
from ostiary.doors.servers.wire.message import IDLE_SECONDS
from ostiary.errors import UsageError

TOLD = ("--issuer", "https://acme.okta.com", "--client-id", "0oa", "--admin-group", "admins")


def _pem(key, how=None):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how or NoEncryption())


@pytest.fixture
def files(tmp_path):
    """A certificate, its key, the same key with a passphrase, another key."""
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "control.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(_pem(key))
    (tmp_path / "sealed.pem").write_bytes(_pem(key, BestAvailableEncryption(b"word")))
    (tmp_path / "other.pem").write_bytes(_pem(other))
    return tmp_path


def _refused(folder, *options):
    database = f"sqlite:///{folder}/control.db"
    asked = [*TOLD, "--database", database, "--state-dir", str(folder / "state"), *options]
    done = CliRunner().invoke(root, ["serve", *asked])
    assert isinstance(done.exception, UsageError), done
    assert not (folder / "control.db").exists()
    return done.exception


@pytest.mark.parametrize(
    ("certificate", "key", "why"),
    [
        ("none.pem", "key.pem", "none.pem: no such file or directory"),
        ("cert.pem", "none.pem", "none.pem: no such file or directory"),
        ("cert.pem", "other.pem", "the key is of another certificate"),
        ("cert.pem", "cert.pem", "the second its key"),
        ("key.pem", "key.pem", "the first must hold a certificate"),
        ("cert.pem", "sealed.pem", "without a passphrase"),
    ],
)
def test_files_of_tls(files, certificate, key, why):
    given = ("--tls-cert", str(files / certificate), "--tls-key", str(files / key))
    refused = _refused(files, *given)
    assert why in refused.why
    assert str(files / key) in refused.what


def test_good_files_of_tls_are_taken(files):
    listening.check_tls(files / "cert.pem", files / "key.pem")


@pytest.mark.parametrize("port", ["80000", "65536", "", "x", "٨٠", "9" * 5000])
def test_a_port_that_there_is_not(tmp_path, port):
    assert "at most 65535" in _refused(tmp_path, "--listen", f"127.0.0.1:{port}").why


@pytest.mark.parametrize(
    "url", ["control.acme.example", "ftp://acme", "https://", "https://[", "http://a:b"]
)
def test_a_url_that_nobody_can_reach(tmp_path, url):
    assert _refused(tmp_path, "--url", url).what == f"cannot be reached at {url}"


@pytest.mark.parametrize("listen", ["0.0.0.0:8443", "[::]:8443"])
def test_every_address_of_a_machine_is_no_url(files, listen):
    """Nobody could sign in: what devices sign names the control plane as they reach it."""
    tls = ("--tls-cert", str(files / "cert.pem"), "--tls-key", str(files / "key.pem"))
    assert "--url https://HOST" in _refused(files, "--listen", listen, *tls).fix
    assert listening.own_url("127.0.0.1:8443", tls=False) == "http://127.0.0.1:8443"
    assert listening.own_url("192.0.2.1:8443", tls=True) == "https://192.0.2.1:8443"


def test_authorities_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    assert "SSL_CERT_FILE" in _refused(tmp_path, "--listen", "127.0.0.1:0").fix


def test_an_address_of_another_machine():
    with pytest.raises(Exception, match="cannot listen") as refused:
        listening.sockets("192.0.2.1:9444", tls=True)
    assert "name an address of this machine" in refused.value.fix


def test_an_idle_connection_is_kept_for_as_long_as_clients_are_told(tmp_path):
    told = ServeSettings("", "127.0.0.1:0", "", "", "", "", tmp_path)
    served = serve.server(told, lambda *_: None)
    assert served.config.timeout_keep_alive == IDLE_SECONDS
