"""A PKCS #7 signature over a document, judged against one certificate that we hold ourselves.

Certificates inside the signature are not looked at, nor is any chain: AWS publishes the certificate of each region.
Sources: RFC 5652, 5 (SignedData), RFC 3370; EC2 User Guide, "Verify the instance identity document" (RSA-2048).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from ostiary.doors.servers.control import ber
from ostiary.doors.servers.control.ber import Element

_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_SHA256 = bytes.fromhex("608648016503040201")
_RSA = bytes.fromhex("2a864886f70d010101")
_RSA_SHA256 = bytes.fromhex("2a864886f70d01010b")
_MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")
_EXPLICIT = 0xA0  # [0], constructed
LEAST_BITS = 2048


class NotSigned(Exception):
    """The text says why."""


def signed_by(document: bytes, signature: str, certificates: Sequence[x509.Certificate]) -> int:
    """The index of the certificate whose key signed ``document``. NotSigned when none did.

    ``signature`` is base64 in lines, as the metadata service gives it. A document inside it must be the same one.
    """
    try:
        blob = base64.b64decode("".join(signature.split()), validate=True)
        signed = _signed_data(ber.read(blob))
        signer = _signer(signed)
        _same_content(signed, document)
        message = _message(signer, document)
        value = ber.next_of(signer.children[::-1], ber.OCTETS).octets()
    except binascii.Error as error:
        raise NotSigned("it is no base64") from error
    except (ValueError, IndexError) as error:
        raise NotSigned(f"it is no PKCS #7 signature over this document: {error}") from error
    for index, certificate in enumerate(certificates):
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < LEAST_BITS:
            continue
        try:
            key.verify(value, message, padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            continue
        return index
    raise NotSigned("no certificate of ours signed it")


def _signed_data(outer: Element) -> Element:
    if outer.tag != ber.SEQUENCE or outer.of(ber.OID).content != _SIGNED_DATA:
        raise ValueError("it is no signed data")
    return outer.of(_EXPLICIT).of(ber.SEQUENCE)


def _signer(signed: Element) -> Element:
    """The one SignerInfo, by RSA with SHA-256."""
    signers = ber.next_of(signed.children[::-1], ber.SET).children
    if len(signers) != 1 or signers[0].tag != ber.SEQUENCE:
        raise ValueError("it has not exactly one signer")
    names = [
        one.of(ber.OID).content
        for one in signers[0].children
        if one.tag == ber.SEQUENCE and one.children and one.children[0].tag == ber.OID
    ]
    if len(names) != 2 or names[0] != _SHA256 or names[1] not in (_RSA, _RSA_SHA256):  # noqa: PLR2004 - digest and signature
        raise ValueError("it is not by RSA with SHA-256")
    return signers[0]


def _same_content(signed: Element, document: bytes) -> None:
    inside = signed.of(ber.SEQUENCE)
    for one in inside.children:
        if one.tag == _EXPLICIT and one.children[0].octets() != document:
            raise ValueError("it is over another document")


def _message(signer: Element, document: bytes) -> bytes:
    """What was signed: the document, or attributes of which one is its digest."""
    attributes = next((one for one in signer.children if one.tag == _EXPLICIT), None)
    if attributes is None:
        return document
    digests = [
        one.of(ber.SET).of(ber.OCTETS).octets()
        for one in attributes.children
        if one.of(ber.OID).content == _MESSAGE_DIGEST
    ]
    wanted = hashlib.sha256(document).digest()
    if len(digests) != 1 or not hmac.compare_digest(digests[0], wanted):
        raise ValueError("it is over another document")
    return bytes([ber.SET]) + attributes.whole[1:]  # RFC 5652, 5.4: signed as a SET OF
