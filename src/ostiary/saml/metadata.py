"""SAML metadata of an identity provider: read strictly, written as Okta writes it.

Sources: SAML 2.0 Metadata §2.4; IAM API Reference, CreateSAMLProvider (1,000 to 10,000,000 characters, UTF-8
without byte order mark); IAM User Guide, "Create a SAML identity provider" (keys of 1024 bits or more, no
repeated X.509 extensions).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape, quoteattr

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree

from ostiary.errors import Conflict
from ostiary.saml.document import NAMESPACES, NotStrictXml, parse_time, parse_xml, text_of

AWS_CHARACTERS = range(1_000, 10_000_001)
SMALLEST_KEY_BITS = 1024
_PROTOCOL = NAMESPACES["samlp"]
_BINDINGS = ("HTTP-POST", "HTTP-Redirect")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a relying party knows of an identity provider.

    ``certificates`` carry its signing keys, two or more during a rotation. ``sso_urls`` are the distinct
    locations of its single sign-on service.
    """

    entity_id: str
    certificates: tuple[x509.Certificate, ...]
    sso_urls: tuple[str, ...] = ()
    valid_until: datetime | None = None

    @property
    def keys(self) -> frozenset[bytes]:
        """The signing keys as DER SubjectPublicKeyInfo: what identifies a key across certificates."""
        return frozenset(
            certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for certificate in self.certificates
        )


def parse(text: str) -> Metadata:
    """Read metadata with exactly one identity provider. Raises Conflict that says what is wrong."""
    try:
        root = parse_xml(text.encode(), comments=True)
    except (NotStrictXml, UnicodeEncodeError) as error:
        raise _unreadable(f"the document {error}") from error
    if root.tag != f"{{{NAMESPACES['md']}}}EntityDescriptor":
        raise _unreadable("its root is not md:EntityDescriptor")
    roles = root.findall("md:IDPSSODescriptor", NAMESPACES)
    if len(roles) != 1:
        raise _unreadable(f"it has {len(roles)} md:IDPSSODescriptor, not one")
    entity_id = root.get("entityID", "")
    if not entity_id:
        raise _unreadable("md:EntityDescriptor has no entityID")
    valid_until = root.get("validUntil")
    try:
        until = parse_time(valid_until) if valid_until else None
    except ValueError as error:
        raise _unreadable(f"validUntil is not a time: {valid_until}") from error
    locations = (
        service.get("Location", "")
        for service in roles[0].findall("md:SingleSignOnService", NAMESPACES)
    )
    urls = tuple(dict.fromkeys(location for location in locations if location))
    if not urls:
        raise _unreadable("it has no md:SingleSignOnService with a Location")
    return Metadata(entity_id, _signing_certificates(roles[0]), urls, until)


def check_for_aws(text: str) -> None:
    """Check what AWS demands beyond ``parse``: the size. Raises Conflict."""
    if len(text) not in AWS_CHARACTERS:
        raise _unreadable(
            f"it has {len(text):,} characters; AWS accepts {AWS_CHARACTERS[0]:,} to {AWS_CHARACTERS[-1]:,}"
        )


def render(
    entity_id: str, certificates: x509.Certificate | Sequence[x509.Certificate], sso_url: str
) -> str:
    """Write metadata in the shape of Okta's ``/api/v1/apps/{id}/sso/saml/metadata``."""
    several = [certificates] if isinstance(certificates, x509.Certificate) else certificates
    keys = "".join(
        '<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">'
        f"<ds:X509Data><ds:X509Certificate>{pem_body(certificate)}</ds:X509Certificate></ds:X509Data>"
        "</ds:KeyInfo></md:KeyDescriptor>"
        for certificate in several
    )
    formats = "".join(
        f"<md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:{name}</md:NameIDFormat>"
        for name in ("unspecified", "emailAddress")
    )
    services = "".join(
        f'<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:{binding}"'
        f" Location={quoteattr(sso_url)}/>"
        for binding in _BINDINGS
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<md:EntityDescriptor entityID="{escape(entity_id, {chr(34): "&quot;"})}" xmlns:md="{NAMESPACES["md"]}">'
        f'<md:IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="{_PROTOCOL}">'
        f"{keys}{formats}{services}</md:IDPSSODescriptor></md:EntityDescriptor>"
    )


def same(one: Metadata, other: Metadata) -> bool:
    """Whether both name the same provider: entity id, sign-on URLs and set of keys (not certificates' dates)."""
    return (
        one.entity_id == other.entity_id
        and set(one.sso_urls) == set(other.sso_urls)
        and one.keys == other.keys
    )


def pem_body(certificate: x509.Certificate) -> str:
    """The base64 of a certificate in lines, without the PEM frame, as X509Certificate elements hold it."""
    pem = certificate.public_bytes(Encoding.PEM).decode()
    return pem.removeprefix("-----BEGIN CERTIFICATE-----\n").partition("-----END")[0]


def _signing_certificates(role: etree._Element) -> tuple[x509.Certificate, ...]:
    certificates = [
        _certificate(text_of(element))
        for descriptor in role.findall("md:KeyDescriptor", NAMESPACES)
        if descriptor.get("use", "signing") == "signing"
        for element in descriptor.findall("ds:KeyInfo/ds:X509Data/ds:X509Certificate", NAMESPACES)
    ]
    if not certificates:
        raise _unreadable("it has no signing certificate")
    return tuple(dict.fromkeys(certificates))


def _certificate(text: str) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(
            base64.b64decode("".join(text.split()), validate=True)
        )
        key = certificate.public_key()
        _ = (
            certificate.extensions,
            certificate.not_valid_before_utc,
        )  # read when asked, checked here
    except x509.DuplicateExtension as error:
        raise _unreadable("a signing certificate repeats an X.509 extension") from error
    except (binascii.Error, ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise _unreadable(f"a signing certificate cannot be read ({error})") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise _unreadable("a signing certificate has no RSA key")
    if key.key_size < SMALLEST_KEY_BITS:
        raise _unreadable(
            f"a signing key has {key.key_size} bits; {SMALLEST_KEY_BITS} are the least"
        )
    return certificate


def _unreadable(why: str) -> Conflict:
    return Conflict(
        "cannot use SAML metadata",
        why=why,
        fix="fetch it afresh from the identity provider",
        code="InvalidInput",
    )
