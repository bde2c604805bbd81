"""X.509 authorities: the certificate that hosts and domains trust, and the list of what it revoked.

Source: RFC 5280, 4.2.1.9 (basic constraints), 4.2.1.3 (key usage), 5 (revocation lists).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ostiary.pki.signer import Private
from ostiary.pki.ssh_signature import CURVE_HASHES
from ostiary.pki.x509_rules import refused


@dataclass(frozen=True, slots=True)
class X509Authority:
    """``key`` may itself only speak for a key elsewhere (``aws/kms_key.py``). ``crl`` is the address of its revocations."""

    certificate: x509.Certificate
    key: Private
    crl: str = ""

    def check(self, start: dt.datetime, end: dt.datetime, *, domain: bool) -> None:
        """Raises OstiaryError unless it may sign certificates for that time (and, ``domain``, for smart-card logon)."""
        own = self.certificate
        if _public_bytes(own.public_key()) != _public_bytes(self.key.public_key()):
            raise refused("the authority's certificate is of another key")
        if not _signs_certificates(own):
            raise refused("its issuer is no authority: basicConstraints and keyUsage do not say so")
        if start < own.not_valid_before_utc or end > own.not_valid_after_utc:
            raise refused("the authority's own certificate does not cover that time")
        if domain and not isinstance(self.key, rsa.RSAPrivateKey):
            raise refused("smart-card logon needs an RSA authority")  # Samba 4.17 refuses others
        if domain and not self.crl:
            raise refused("smart-card logon needs a reachable CRL point")
        if self.crl and not _is_address(self.crl):
            raise refused(f"{self.crl[:80]!r} is no http address")

    def verify(self, made: x509.Certificate) -> None:
        """Raises OstiaryError unless this authority signed it."""
        try:
            made.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, ValueError, TypeError) as error:
            raise refused("its signature is not of the authority's key") from error


def new_authority(
    name: str, key: Private, *, serial: int, start: dt.datetime, end: dt.datetime, crl: str = ""
) -> X509Authority:
    """A self-signed authority that signs certificates of clients, no other authorities."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(authority=True), critical=True)
        .add_extension(own, critical=False)
        .sign(key, hash_of(key))
    )
    authority = X509Authority(made, key, crl)
    authority.verify(made)
    return authority


def revocation_list(
    authority: X509Authority,
    number: int,
    revoked: Iterable[tuple[int, dt.datetime]],
    start: dt.datetime,
    end: dt.datetime,
) -> x509.CertificateRevocationList:
    """``revoked`` are serials and when. ``number`` grows with each list."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(start)
        .next_update(end)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(issuer_key(authority.certificate), critical=False)
    )
    for serial, when in revoked:
        one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
        builder = builder.add_revoked_certificate(one.build())
    made = builder.sign(authority.key, hash_of(authority.key))
    if not made.is_signature_valid(authority.certificate.public_key()):  # type: ignore[arg-type] # check() allows these kinds only
        raise refused("its signature is not of the authority's key")
    return made


def usage(*, authority: bool) -> x509.KeyUsage:
    """keyCertSign and cRLSign for an authority, digitalSignature for a client."""
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def issuer_key(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The issuer's own subject key identifier, so that the two always agree."""
    try:
        own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(certificate.public_key())  # type: ignore[arg-type] # check() allows these kinds only
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def hash_of(key: Private) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """What the key signs with: the hash of its curve, SHA-256 for RSA, none for Ed25519."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    found = CURVE_HASHES[key.curve.name] if isinstance(key, ec.EllipticCurvePrivateKey) else None
    return found if isinstance(found, hashes.SHA384 | hashes.SHA512) else hashes.SHA256()


def _signs_certificates(certificate: x509.Certificate) -> bool:
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        key_usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return basic.ca and key_usage.key_cert_sign


def _public_bytes(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return] # every key of cryptography has it


def _is_address(text: str) -> bool:
    if not text.isascii() or not text.isprintable() or " " in text:
        return False
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname)
