"""Signing keys with their self-signed certificates, as Okta makes them for SAML apps and for tokens."""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from joserfc.jwk import RSAKey

DAY = 86400


@functools.cache
def _private_key(kid: str) -> rsa.RSAPrivateKey:
    """The same kid is the same key, also in a world that was built again."""
    del kid
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class SigningKey:
    """An RSA key; it is generated when first used, because making one costs a tenth of a second."""

    kid: str
    org_name: str
    created: float
    years: int

    @property
    def expires(self) -> float:
        return self.created + self.years * 365 * DAY

    @functools.cached_property
    def private(self) -> rsa.RSAPrivateKey:
        return _private_key(self.kid)

    @functools.cached_property
    def certificate(self) -> x509.Certificate:
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
                x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "California"),
                x509.NameAttribute(NameOID.LOCALITY_NAME, "San Francisco"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Okta"),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "SSOProvider"),
                x509.NameAttribute(NameOID.COMMON_NAME, self.org_name),
                x509.NameAttribute(NameOID.EMAIL_ADDRESS, "info@okta.com"),
            ]
        )
        start = datetime.fromtimestamp(self.created, UTC) - timedelta(minutes=1)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=365 * self.years))
            .sign(self.private, hashes.SHA256())
        )

    @functools.cached_property
    def jwk(self) -> RSAKey:
        pem = self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return RSAKey.import_key(pem)

    @property
    def certificate_text(self) -> str:
        """Base64 DER in one line."""
        return base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()

    def public_numbers(self) -> dict[str, str]:
        """``n`` and ``e`` of the JWK, base64url without padding."""
        numbers = self.private.public_key().public_numbers()
        return {"e": _number(numbers.e), "n": _number(numbers.n)}


def _number(value: int) -> str:
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
