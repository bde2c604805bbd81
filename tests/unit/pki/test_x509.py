"""X.509 certificates: their bytes, what openssl says, and real TLS handshakes; what is never signed."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import subprocess
import threading
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtensionOID, NameOID
from ssh_world import program

from ostiary.errors import OstiaryError
from ostiary.pki import x509_certificate
from ostiary.pki.x509_authority import X509Authority, new_authority, revocation_list
from ostiary.pki.x509_certificate import Asked
from ostiary.pki.x509_rules import Client

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)
SID = "S-1-5-21-3623811015-3361044348-30300820-1013"
CRL = "http://crl.acme.example/prj_1.crl"
ADA = Client("ada", "ada@corp.acme.example", SID)
PEM = serialization.Encoding.PEM


@pytest.fixture(autouse=True)
def now(monkeypatch):
    """These certificates are good for three minutes, and others read the real clock."""
    monkeypatch.setitem(globals(), "NOW", dt.datetime.now(dt.UTC).replace(microsecond=0))


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def authority(rsa_key):
    return new_authority("acme", rsa_key, serial=1, start=NOW - DAY, end=NOW + DAY, crl=CRL)


@pytest.fixture(scope="module")
def subject():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def asked(subject):
    return Asked(ADA, subject.public_key(), 7, NOW - MINUTE, NOW + 2 * MINUTE)


def pem_of(key) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def refused(authority, asked) -> str:
    with pytest.raises(OstiaryError) as error:
        x509_certificate.issue(authority, asked)
    return error.value.why


def test_a_certificate_for_a_domain_says_what_windows_reads(authority, asked):
    made = x509_certificate.issue(authority, asked)
    raw = {
        extension.oid.dotted_string: (extension.critical, extension.value.public_bytes())
        for extension in made.extensions
    }
    sid = SID.encode()
    inner = b"\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x19\x02\x01"
    value = b"\x04" + bytes((len(sid),)) + sid
    name = inner + b"\xa0" + bytes((len(value),)) + value
    other = b"\xa0" + bytes((len(name),)) + name
    assert raw["1.3.6.1.4.1.311.25.2"] == (False, b"\x30" + bytes((len(other),)) + other)
    upn = b"\x0c" + bytes((len(ADA.upn),)) + ADA.upn.encode()
    assert raw[ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string][1].endswith(
        b"\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03\xa0" + bytes((len(upn),)) + upn
    )
    usages = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [usage.dotted_string for usage in usages] == [
        "1.3.6.1.5.5.7.3.2",
        "1.3.6.1.4.1.311.20.2.2",
    ]
    assert raw[ExtensionOID.KEY_USAGE.dotted_string] == (True, b"\x03\x02\x07\x80")
    assert raw[ExtensionOID.BASIC_CONSTRAINTS.dotted_string] == (True, b"\x30\x00")
    point = made.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert point[0].full_name[0].value == CRL
    assert made.version == x509.Version.v3
    assert (made.serial_number, made.not_valid_before_utc) == (7, NOW - MINUTE)


def test_openssl_reads_and_verifies_it(authority, asked, tmp_path):
    made = x509_certificate.issue(authority, asked)
    (tmp_path / "ca.pem").write_bytes(authority.certificate.public_bytes(PEM))
    (tmp_path / "ada.pem").write_bytes(made.public_bytes(PEM))
    crl = revocation_list(authority, 1, [], NOW - MINUTE, NOW + DAY)
    bad = revocation_list(authority, 2, [(7, NOW)], NOW - MINUTE, NOW + DAY)
    openssl = program("openssl")

    def run(*words):
        return subprocess.run(
            [openssl, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    text = run("x509", "-in", "ada.pem", "-noout", "-text").stdout
    for part in (
        "Microsoft Smartcard Login",
        "TLS Web Client Authentication",
        "Digital Signature",
        CRL,
        "CA:FALSE",
    ):
        assert part in text
    assert ADA.upn in run("asn1parse", "-in", "ada.pem", "-strparse", str(_at(made))).stdout
    verify = ("verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", "sslclient")
    assert run(*verify, "ada.pem").stdout == "ada.pem: OK\n"
    assert run("verify", "-CAfile", "ca.pem", "-purpose", "sslserver", "ada.pem").returncode != 0
    for listed, code in ((crl, 0), (bad, 2)):
        (tmp_path / "crl.pem").write_bytes(listed.public_bytes(PEM))
        done = run(*verify, "-crl_check", "-CRLfile", "crl.pem", "ada.pem")
        assert done.returncode == code, done.stderr
    assert "certificate revoked" in done.stderr
    (tmp_path / "below.pem").write_bytes(_below(made, asked).public_bytes(PEM))
    done = run(*verify, "-untrusted", "ada.pem", "below.pem")
    assert done.returncode == 2  # nothing but an authority counts as an issuer


def _at(made: x509.Certificate) -> int:
    """Where the octets of the SAN begin, for asn1parse."""
    san = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return made.public_bytes(serialization.Encoding.DER).index(san.public_bytes()) - 2


def _below(made, asked):
    """A certificate that a client's certificate pretends to sign."""
    key = ec.generate_private_key(ec.SECP256R1())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mallory")]))
        .issuer_name(made.subject)
        .public_key(key.public_key())
        .serial_number(9)
        .not_valid_before(asked.start)
        .not_valid_after(asked.end)
        .sign(key, hashes.SHA256())
    )


@pytest.mark.parametrize("kind", ["RSA", "P-256", "P-384", "P-521", "Ed25519"])
def test_tls_takes_a_client_of_every_kind_and_no_stranger(tmp_path, subject, kind):
    """A broker's side of mutual TLS, by OpenSSL: in with ours, out without, with a stranger's, or past its time."""
    makers = {
        "RSA": lambda: subject,
        "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    own, client = makers[kind](), makers[kind]()
    ours = new_authority("acme", own, serial=1, start=NOW - DAY, end=NOW + DAY)
    theirs = new_authority("acme", makers["P-256"](), serial=1, start=NOW - DAY, end=NOW + DAY)
    asked = Asked(Client("ada"), client.public_key(), 7, NOW - MINUTE, NOW + 2 * MINUTE)
    past = replace(asked, start=NOW - 3 * MINUTE, end=NOW - MINUTE)
    cases = {
        "good": (x509_certificate.issue(ours, asked), True),
        "stranger": (x509_certificate.issue(theirs, asked), False),
        "expired": (x509_certificate.issue(ours, past), False),
        "none": (None, False),
    }
    (tmp_path / "ca.pem").write_bytes(ours.certificate.public_bytes(PEM))
    for name, (certificate, welcome) in cases.items():
        chain = tmp_path / f"{name}.pem"
        if certificate is not None:
            chain.write_bytes(pem_of(client) + certificate.public_bytes(PEM))
        assert _handshake(tmp_path, chain if certificate else None) == welcome, name


def _handshake(folder, chain) -> bool:
    """Whether a server that trusts ``ca.pem`` lets a client of ``chain`` in."""
    own = ec.generate_private_key(ec.SECP256R1())
    broker = new_authority("broker", own, serial=1, start=NOW - DAY, end=NOW + DAY)
    (folder / "broker.pem").write_bytes(pem_of(own) + broker.certificate.public_bytes(PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "broker.pem")
    server.load_verify_locations(folder / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    if chain:
        client.load_cert_chain(chain)
    near, far = socket.socketpair()
    let_in = []

    def serve():
        try:
            with server.wrap_socket(far, server_side=True) as inside:
                inside.sendall(b"in")
                let_in.append(True)
        except (ssl.SSLError, OSError):
            far.close()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        with client.wrap_socket(near) as connection:
            return connection.recv(2) == b"in"
    except (ssl.SSLError, OSError):
        return False
    finally:
        serving.join(timeout=10)
        near.close()


def request(key, *, signed_by=None) -> x509.CertificateSigningRequest:
    """One that asks to be an authority, for another name."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("evil")]), critical=False)
        .sign(signed_by or key, hashes.SHA256())
    )


@pytest.mark.parametrize("encoding", [PEM, serialization.Encoding.DER])
def test_of_a_request_only_the_key_counts(authority, asked, subject, encoding):
    key = x509_certificate.key_of_request(request(subject).public_bytes(encoding))
    made = x509_certificate.issue(authority, replace(asked, key=key))
    assert made.public_key() == subject.public_key()
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    san = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert not san.get_values_for_type(x509.DNSName)
    assert made.subject.rfc4514_string() == "CN=ada"


def test_requests_that_prove_nothing_are_refused(subject):
    good = request(subject).public_bytes(serialization.Encoding.DER)
    other = rsa.generate_private_key(65537, 2048)
    swapped = good.replace(
        subject.public_key().public_numbers().n.to_bytes(256, "big"),
        other.public_key().public_numbers().n.to_bytes(256, "big"),
    )
    assert swapped != good
    weak = request(rsa.generate_private_key(65537, 1024))
    for data in (
        swapped,
        good[:-1] + bytes((good[-1] ^ 1,)),
        good[:-1],
        b"",
        b"\x30\x00",
        b"-----BEGIN CERTIFICATE REQUEST-----\n",
        request(subject).public_bytes(PEM)[:-40],
        weak.public_bytes(PEM),
    ):
        with pytest.raises(OstiaryError):
            x509_certificate.key_of_request(data)


CLIENTS = [
    Client(""),
    Client(" "),
    Client("a" * 65),
    Client("a\nb"),
    Client("a\0b"),
    Client("ada\N{RIGHT-TO-LEFT OVERRIDE}"),
    Client("ada", "ada@corp.acme.example"),
    Client("ada", "", SID),
    Client("ada", "ada", SID),
    Client("ada", "@corp.acme.example", SID),
    Client("ada", "ada@", SID),
    Client("ada", "ada@corp@evil", SID),
    Client("ada", "ada\0@corp.acme.example", SID),
    Client("ada", "ada@corp.acme.example\n", SID),
    Client("ada", "a" * 65 + "@corp.acme.example", SID),
    Client("ada", ADA.upn, "S-1-5-21-x"),
    Client("ada", ADA.upn, "S-2-5-21-1"),
    Client("ada", ADA.upn, "S-1-5"),
    Client("ada", ADA.upn, SID + "\n"),
    Client("ada", ADA.upn, SID + "-1" * 20),
]


@pytest.mark.parametrize("client", CLIENTS, ids=repr)
def test_wrong_names_are_refused(authority, asked, client):
    assert refused(authority, replace(asked, client=client))


def test_long_names_are_encoded_in_long_form(authority, asked):
    long = Client("ada", "a" * 64 + "@" + ".".join(["b" * 63] * 4), SID)
    san = x509_certificate.issue(authority, replace(asked, client=long)).extensions
    value = san.get_extension_for_class(x509.SubjectAlternativeName).value
    (name,) = value.get_values_for_type(x509.OtherName)
    assert name.value == b"\x0c\x82" + len(long.upn).to_bytes(2, "big") + long.upn.encode()


def test_wrong_numbers_times_and_keys_are_refused(authority, asked):
    naive = NOW.replace(tzinfo=None)
    for change, why in (
        ({"serial": 0}, "serial"),
        ({"serial": 1 << 159}, "serial"),
        ({"end": asked.start}, "good for 0 s"),
        ({"end": asked.start - MINUTE}, "good for -60 s"),
        ({"end": asked.start + dt.timedelta(seconds=181)}, "181 s"),
        ({"start": naive}, "zone"),
        ({"key": ec.generate_private_key(ec.SECP256R1()).public_key()}, "RSA keys only"),
        ({"key": rsa.generate_private_key(65537, 1024).public_key()}, "1024 bits"),
        ({"key": rsa.generate_private_key(3, 2048).public_key()}, "exponent"),
        ({"key": ed448.Ed448PrivateKey.generate().public_key()}, "no kind"),
        ({"key": ec.generate_private_key(ec.SECP256K1()).public_key()}, "no kind"),
    ):
        assert why in refused(authority, replace(asked, **change))


def test_an_authority_that_is_none_signs_nothing(authority, asked, subject, rsa_key):
    leaf = x509_certificate.issue(authority, asked)
    assert "no authority" in refused(X509Authority(leaf, subject, CRL), asked)
    assert "another key" in refused(replace(authority, key=subject), asked)
    assert "reachable CRL" in refused(replace(authority, crl=""), asked)
    for address in ("ldap://dc/x", "file:///x", "http://", "http://a b/", "http://a/\n", "ü"):
        assert "no http address" in refused(replace(authority, crl=address), asked)
    soon = new_authority("acme", rsa_key, serial=1, start=NOW - DAY, end=NOW + MINUTE, crl=CRL)
    assert "does not cover" in refused(soon, asked)
    elliptic = ec.generate_private_key(ec.SECP256R1())
    own = new_authority("acme", elliptic, serial=1, start=NOW - DAY, end=NOW + DAY, crl=CRL)
    assert "RSA authority" in refused(own, asked)


def test_a_signature_of_another_key_does_not_leave(authority, asked, subject):
    """A key that shows the authority's public half and signs with another, as a confused KMS would."""

    class Confused(rsa.RSAPrivateKey):
        key_size = 2048
        decrypt = private_bytes = private_numbers = __copy__ = __deepcopy__ = None

        def public_key(self):
            return authority.key.public_key()

        def sign(self, *arguments):
            return subject.sign(*arguments)

    assert "not of the authority's key" in refused(replace(authority, key=Confused()), asked)
    with pytest.raises(OstiaryError, match="not of the authority's key"):
        revocation_list(replace(authority, key=Confused()), 1, [], NOW, NOW + DAY)
