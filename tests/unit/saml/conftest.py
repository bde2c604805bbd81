"""An identity provider that signs what it is told, also what no honest one would, and a judge."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree

from ostiary.saml import assertion, metadata, verify

ISSUER = "http://www.okta.com/exk1acmeacmeacmeacme"
SSO_URL = "https://acme.okta.com/app/amazon_aws/exk1acmeacmeacmeacme/sso/saml"
SIGN_IN = "https://signin.aws.amazon.com/saml"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NS = {
    "samlp": "urn:oasis:names:tc:SAML:2.0:protocol",
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}


def roles(count):
    accounts = [f"{100000000000 + n}" for n in range(count)]
    return [f"arn:aws:iam::{a}:saml-provider/Okta,arn:aws:iam::{a}:role/Ops" for a in accounts]


def certificate_of(key, *, start=datetime(2020, 1, 1, tzinfo=UTC), days=7300):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(start).not_valid_after(start + timedelta(days=days))
    return dated.sign(key, hashes.SHA256())


@dataclass
class IdentityProvider:
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, **dates):
        key = rsa.generate_private_key(65537, 2048)
        return cls(key, certificate_of(key, **dates))

    @property
    def metadata(self):
        return metadata.render(ISSUER, self.certificate, SSO_URL)

    def issue(self, **changes) -> bytes:
        wanted = {
            "issuer": ISSUER,
            "destination": SIGN_IN,
            "recipient": SIGN_IN,
            "audience": "urn:amazon:webservices",
            "name_id": "ada@acme.example",
            "role_values": roles(2),
            "session_name": "ada@acme.example",
            "session_duration": 3600,
            "key": self.key,
            "certificate": self.certificate,
            "now": NOW,
        }
        return assertion.issue(**{**wanted, **changes})

    def sign_changed(self, change: Callable[[etree._Element], None], **how) -> bytes:
        """Change an honest response, then sign its assertion: valid signatures on what should not be."""
        root = etree.fromstring(self.issue())
        for signature in root.findall(".//ds:Signature", NS):
            signature.getparent().remove(signature)
        change(root)
        for one in root.findall("saml:Assertion", NS):
            self.sign(one, **how)
        return etree.tostring(root)

    def sign(self, element, *, method=None, digest=None, transforms=(), key=None):
        """Sign by libxmlsec1, with any algorithm that it knows."""
        signature = xmlsec.template.create(
            element,
            xmlsec.constants.TransformExclC14N,
            method or xmlsec.constants.TransformRsaSha256,
        )
        element.insert(1, signature)
        reference = xmlsec.template.add_reference(
            signature, digest or xmlsec.constants.TransformSha256, uri="#" + element.get("ID")
        )
        xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
        for add in transforms:
            add(reference)
        xmlsec.template.add_transform(reference, xmlsec.constants.TransformExclC14N)
        xmlsec.tree.add_ids(element, ["ID"])
        context = xmlsec.SignatureContext()
        context.key = key or xmlsec.Key.from_memory(self.key_pem, xmlsec.constants.KeyDataFormatPem)
        context.sign(signature)

    @property
    def key_pem(self):
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def judge(self, response: bytes, *, at=NOW, text=None):
        return verify.verify(
            response,
            metadata.parse(text or self.metadata),
            now=at,
            recipients=(SIGN_IN,),
            audiences=("urn:amazon:webservices", SIGN_IN),
        )


@pytest.fixture(scope="session")
def idp():
    return IdentityProvider.new()


@pytest.fixture(scope="session")
def stranger():
    return IdentityProvider.new()
