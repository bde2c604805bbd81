"""Metadata: as Okta writes it, and every way it may be wrong."""

import base64
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ostiary.errors import Conflict
from ostiary.saml import metadata

ENTITY = "http://www.okta.com/exk1?a=1&b=2"
SSO = 'https://acme.okta.com/app/sso?x=1&y="2"'
WEAK = b"""\
-----BEGIN CERTIFICATE-----
MIIBdTCCAR+gAwIBAgIUOQnsgdGitZddclrmJjD78ahRyGYwDQYJKoZIhvcNAQEL
BQAwDzENMAsGA1UEAwwEd2VhazAeFw0yNjExMjMyMDM2MTJaFw00NjExMTgyMDM2
MTJaMA8xDTALBgNVBAMMBHdlYWswXDANBgkqhkiG9w0BAQEFAANLADBIAkEAt0Hm
owbb2Lh2mIbgsQkhLoZwxq1g6Us4ZuWf+k/JcgHZc63lyYcD2JhNgOeQaPxh4bsK
Nd9j4L7HVxCiSAwfyQIDAQABo1MwUTAdBgNVHQ4EFgQU1rLRncHfS9Jhv7eY9/iM
BjcDmE0wHwYDVR0jBBgwFoAU1rLRncHfS9Jhv7eY9/iMBjcDmE0wDwYDVR0TAQH/
BAUwAwEB/zANBgkqhkiG9w0BAQsFAANBABeOt8rXt3dKuCnKpRf8DHm3gPUZ848y
zYM0xKhcIy5mEiSrnAzKZzFwtfHKR+xfHScdKcFXoxvmLJ+NnGS9ft0=
-----END CERTIFICATE-----
"""


def test_what_is_written_is_read(idp):
    text = metadata.render(ENTITY, idp.certificate, SSO)
    read = metadata.parse(text)
    assert (read.entity_id, read.sso_urls) == (ENTITY, (SSO,))
    assert read.certificates == (idp.certificate,)
    assert read.valid_until is None
    assert 'WantAuthnRequestsSigned="false"' in text
    metadata.check_for_aws(text)


def test_same(idp, stranger):
    def of(entity, certificates, url=SSO):
        return metadata.parse(metadata.render(entity, certificates, url))

    both = of(ENTITY, [idp.certificate, stranger.certificate])
    assert metadata.same(both, of(ENTITY, [stranger.certificate, idp.certificate]))
    assert not metadata.same(both, of(ENTITY, idp.certificate))
    assert not metadata.same(both, of("http://www.okta.com/exk2", both.certificates))
    assert not metadata.same(both, of(ENTITY, both.certificates, "https://other.okta.com"))


def elliptic():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    dated = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC)).not_valid_after(
        datetime(2030, 1, 1, tzinfo=UTC)
    )
    return dated.sign(key, hashes.SHA256())


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("<?xml", "\ufeff<?xml", "byte order mark"),
        ("?>", "?><!DOCTYPE a>", "document type"),
        ("md:EntityDescriptor", "md:EntitiesDescriptor", "root is not"),
        ("md:IDPSSODescriptor", "md:SPSSODescriptor", "0 md:IDPSSODescriptor"),
        ("entityID=", "entityId=", "no entityID"),
        ('use="signing"', 'use="encryption"', "no signing certificate"),
        ("<ds:X509Certificate>MII", "<ds:X509Certificate>AAA", "cannot be read"),
        ("<ds:X509Certificate>MII", "<ds:X509Certificate>*", "cannot be read"),
        ("Location=", "Place=", "no md:SingleSignOnService"),
        ("entityID=", 'validUntil="soon" entityID=', "not a time"),
        ("</md:EntityDescriptor>", "", "not well-formed"),
        ("UTF-8", "ISO-8859-1", "not UTF-8"),
        ("entityID=", 'x="&x;" entityID=', "not well-formed"),
    ],
)
def test_refused(idp, old, new, why):
    text = metadata.render(ENTITY, idp.certificate, SSO)
    assert old in text
    with pytest.raises(Conflict, match=why) as refusal:
        metadata.parse(text.replace(old, new))
    assert refusal.value.code == "InvalidInput"


def test_only_rsa_keys():
    with pytest.raises(Conflict, match="no RSA key"):
        metadata.parse(metadata.render(ENTITY, elliptic(), SSO))


def test_a_weak_key():
    with pytest.raises(Conflict, match="512 bits"):
        metadata.parse(metadata.render(ENTITY, x509.load_pem_x509_certificate(WEAK), SSO))


def test_a_repeated_extension(idp):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")])
    builder = x509.CertificateBuilder(name, name, idp.key.public_key(), 1)
    builder = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC)).not_valid_after(
        datetime(2030, 1, 1, tzinfo=UTC)
    )
    for number in (4, 5):
        oid = x509.ObjectIdentifier(f"1.2.3.{number}")
        builder = builder.add_extension(
            x509.UnrecognizedExtension(oid, b"\x05\x00"), critical=False
        )
    der = builder.sign(idp.key, hashes.SHA256()).public_bytes(Encoding.DER)
    twice = base64.b64encode(der.replace(b"\x06\x03\x2a\x03\x05", b"\x06\x03\x2a\x03\x04"))
    text = metadata.render(ENTITY, idp.certificate, SSO)
    with pytest.raises(Conflict, match="repeats an X"):
        metadata.parse(text.replace(metadata.pem_body(idp.certificate), twice.decode()))


def test_a_key_of_an_unknown_kind(idp):
    der = idp.certificate.public_bytes(Encoding.DER)
    rsa_oid = bytes.fromhex("06092a864886f70d010101")
    odd = base64.b64encode(der.replace(rsa_oid, rsa_oid[:-1] + b"\x7f")).decode()
    text = metadata.render(ENTITY, idp.certificate, SSO)
    with pytest.raises(Conflict, match="cannot be read"):
        metadata.parse(text.replace(metadata.pem_body(idp.certificate), odd))


@pytest.mark.parametrize("size", [999, 10_000_001])
def test_size_for_aws(size):
    with pytest.raises(Conflict, match="AWS accepts 1,000 to 10,000,000"):
        metadata.check_for_aws("a" * size)


def test_valid_until(idp):
    text = metadata.render(ENTITY, idp.certificate, SSO)
    dated = text.replace("entityID=", 'validUntil="2027-01-01T00:00:00Z" entityID=')
    assert metadata.parse(dated).valid_until == datetime(2027, 1, 1, tzinfo=UTC)
