"""An identity provider with a key of its own, made once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from ostiary.saml import metadata

ISSUER = "http://www.okta.com/exk1benchbenchbench1"


@dataclass(frozen=True, slots=True)
class Identity:
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def metadata(self) -> str:
        return metadata.render(
            ISSUER, self.certificate, "https://acme.okta.example/app/amazon_aws/x/sso/saml"
        )


@cache
def identity() -> Identity:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, SHA256())
    )
    return Identity(key, certificate)
