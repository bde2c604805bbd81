"""X.509 client certificates: for TLS to the broker of a Windows host, and for smart-card logon to a domain.

Sources: RFC 5280 (profile); Microsoft, "Smart card certificate requirements and enumeration" (clientAuth and smart-card EKU,
UPN in the SAN, reachable CRL point); KB5014754 and [MS-WCCE] 2.2.2.7.7.4 (the SID extension). What a request asks for beyond
its key is ignored. Every certificate is verified before it is given out. Errors are OstiaryError.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from ostiary.pki import x509_rules
from ostiary.pki.ssh_key import Public
from ostiary.pki.x509_authority import X509Authority, hash_of, issuer_key, usage
from ostiary.pki.x509_rules import Client, refused

UPN = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
SID = ObjectIdentifier("1.3.6.1.4.1.311.25.2")
_SID_NAME = ObjectIdentifier("1.3.6.1.4.1.311.25.2.1")
_UTF8, _OCTETS = 0x0C, 0x04  # DER tags
_SHORT = 128  # bytes from which a DER length takes more than one


@dataclass(frozen=True, slots=True)
class Asked:
    """A certificate not signed yet: whose, for which key, under which number, good from ``start`` until ``end`` (UTC)."""

    client: Client
    key: Public
    serial: int
    start: dt.datetime
    end: dt.datetime


def key_of_request(data: bytes) -> Public:
    """The key of a PKCS #10 request (PEM or DER) that proves that the asker holds it."""
    try:
        pem = data.lstrip().startswith(b"-----BEGIN")
        request = (x509.load_pem_x509_csr if pem else x509.load_der_x509_csr)(data)
        good, key = request.is_signature_valid, request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise refused("the request cannot be read") from error
    if not good:
        raise refused("the request is not signed by its own key")
    return x509_rules.certifiable(key)


def issue(authority: X509Authority, asked: Asked) -> x509.Certificate:
    """The signed certificate. Raises OstiaryError for what this authority may not sign."""
    x509_rules.check_client(asked.client)
    x509_rules.check_subject(asked.key, domain=bool(asked.client.upn))
    x509_rules.check_window(asked.serial, asked.start, asked.end)
    authority.check(asked.start, asked.end, domain=bool(asked.client.upn))
    issuer = authority.certificate
    name = x509.NameAttribute(NameOID.COMMON_NAME, asked.client.common_name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([name]))
        .issuer_name(issuer.subject)
        .public_key(asked.key)
        .serial_number(asked.serial)
        .not_valid_before(asked.start)
        .not_valid_after(asked.end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(authority=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(asked.key), critical=False)
        .add_extension(issuer_key(issuer), critical=False)
    )
    if authority.crl:
        builder = builder.add_extension(_crl_point(authority.crl), critical=False)
    made = _for_domain(builder, asked.client).sign(authority.key, hash_of(authority.key))
    authority.verify(made)
    return made


def _for_domain(builder: x509.CertificateBuilder, client: Client) -> x509.CertificateBuilder:
    """What a domain controller looks for; without a UPN, TLS clients only."""
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if client.upn:
        usages.append(ExtendedKeyUsageOID.SMARTCARD_LOGON)
        name = x509.OtherName(UPN, _der(_UTF8, client.upn.encode()))
        builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
        sid = x509.OtherName(_SID_NAME, _der(_OCTETS, client.sid.encode()))
        names = x509.SubjectAlternativeName(
            [sid]
        ).public_bytes()  # the extension has that very form
        builder = builder.add_extension(x509.UnrecognizedExtension(SID, names), critical=False)
    return builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)


def _crl_point(address: str) -> x509.CRLDistributionPoints:
    place = x509.UniformResourceIdentifier(address)
    return x509.CRLDistributionPoints([x509.DistributionPoint([place], None, None, None)])


def _der(tag: int, data: bytes) -> bytes:
    size = len(data)
    if size < _SHORT:
        return bytes((tag, size)) + data
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + data
