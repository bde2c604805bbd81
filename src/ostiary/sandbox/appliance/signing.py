"""The ``.cert`` of an OVA: the signature of its manifest and the certificate that made it. Source: DMTF DSP0243, 5.1."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID


def signed_manifest(name: str, manifest: bytes, *, days: int = 3650) -> bytes:
    """A key of one use signs; ``days`` below 0 give a certificate that has expired."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme appliance signing")])
    now = datetime.now(UTC)
    begin = now - timedelta(days=max(1, 1 - 2 * days))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    signature = key.sign(manifest, padding.PKCS1v15(), hashes.SHA256())
    line = f"SHA256({name})= {signature.hex()}\n".encode()
    return line + certificate.public_bytes(Encoding.PEM)
