"""Instance identity documents and their RSA-2048 signatures, by a key of each region that only the sandbox has.

The form is that of the real ones: the document is JSON with two spaces of indentation, and the signature a PKCS #7 in
BER with indefinite lengths that holds the document, in base64 lines. Source: EC2 User Guide, "Instance identity
documents"; the BER is that of signatures in public issues of Vault and step-ca.
"""

from __future__ import annotations

import base64
import functools
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

YEARS = 179
_SEQUENCE, _OCTETS, _SPLIT_OCTETS, _EXPLICIT = 0x30, 0x04, 0x24, 0xA0


@dataclass(frozen=True, slots=True)
class Instance:
    """One EC2 instance as its metadata service tells it. ``pending`` is when it was last started; ``role`` a name."""

    account: str
    region: str
    id: str
    pending: float
    role: str = ""
    image: str = "ami-0abcdef1234567890"
    type: str = "t3.micro"
    address: str = "10.0.0.10"

    def document(self) -> bytes:
        told = {
            "accountId": self.account,
            "architecture": "x86_64",
            "availabilityZone": f"{self.region}a",
            "billingProducts": None,
            "devpayProductCodes": None,
            "marketplaceProductCodes": None,
            "imageId": self.image,
            "instanceId": self.id,
            "instanceType": self.type,
            "kernelId": None,
            "pendingTime": f"{datetime.fromtimestamp(self.pending, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "privateIp": self.address,
            "ramdiskId": None,
            "region": self.region,
            "version": "2017-09-30",
        }
        text = ",\n".join(f'  "{name}" : {json.dumps(value)}' for name, value in told.items())
        return f"{{\n{text}\n}}".encode()


@dataclass(frozen=True, slots=True)
class RegionKey:
    """What a region signs documents with."""

    private: rsa.RSAPrivateKey
    certificate: x509.Certificate

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, document: bytes) -> str:
        signed = (
            pkcs7.PKCS7SignatureBuilder()
            .set_data(document)
            .add_signer(self.certificate, self.private, hashes.SHA256())
            .sign(
                serialization.Encoding.DER,
                [
                    pkcs7.PKCS7Options.Binary,
                    pkcs7.PKCS7Options.NoCerts,
                    pkcs7.PKCS7Options.NoCapabilities,
                ],
            )
        )
        text = base64.b64encode(as_ber(signed)).decode()
        return "\n".join(text[at : at + 64] for at in range(0, len(text), 64))


@functools.cache
def region_key(region: str) -> RegionKey:
    """The key of a region; another one in every process."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Washington State"),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "Seattle"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Ostiary sandbox {region}"),
        ]
    )
    start = datetime(2024, 4, 29, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365 * YEARS))
        .sign(private, hashes.SHA256())
    )
    return RegionKey(private, certificate)


def as_ber(der: bytes) -> bytes:
    """The outer structure with indefinite lengths and the content in pieces; what is signed stays as it is."""
    (outer,) = _children(der)
    kind, wrapped = _children(outer[1])
    (signed,) = _children(wrapped[1])
    parts = _children(signed[1])
    inside = _children(parts[2][1])
    content = _der(*inside[0])
    if len(inside) > 1:
        (octets,) = _children(inside[1][1])
        content += _open(_EXPLICIT, _open(_SPLIT_OCTETS, _der(_OCTETS, octets[1])))
    body = _der(*parts[0]) + _der(*parts[1]) + _open(_SEQUENCE, content)
    body += b"".join(_der(*part) for part in parts[3:])
    return _open(_SEQUENCE, _der(*kind) + _open(_EXPLICIT, _open(_SEQUENCE, body)))


def _open(tag: int, content: bytes) -> bytes:
    return bytes([tag, 0x80]) + content + b"\0\0"


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:  # noqa: PLR2004 - the short form
        return bytes([tag, size]) + content
    raw = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(raw)]) + raw + content


def _children(data: bytes) -> list[tuple[int, bytes]]:
    """Tags and contents of DER elements one after the other."""
    found, at = [], 0
    while at < len(data):
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            length = size & 0x7F
            size = int.from_bytes(data[at : at + length], "big")
            at += length
        found.append((tag, data[at : at + size]))
        at += size
    return found
