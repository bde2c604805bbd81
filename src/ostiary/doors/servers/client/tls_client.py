"""What lets a person in where TLS asks for a client certificate (curl, psql): a key made here, and X.509 for it.

As with SSH it is for one person, one server and three minutes; nobody counts connections, so it is good for as many as
begin meanwhile. The key is ECDSA on P-256, the one kind besides RSA that every client and service of TLS has to know
(RFC 8446, section 9.1), and made in no time. What the control plane sends is checked before it is written anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from ostiary.doors.servers.client import credentials, place, talk
from ostiary.doors.servers.wire.message import InvalidMessage, decode
from ostiary.doors.servers.wire.paths import CERTIFICATES
from ostiary.doors.servers.wire.person import X509, CertificateRequest, Issued
from ostiary.errors import Denied, Unreachable
from ostiary.pki import ssh_key


@dataclass(frozen=True, slots=True)
class TlsClient:
    """``leaf`` is for ``key``, and ``authority`` signed it."""

    issued: Issued = field(repr=False)
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    leaf: x509.Certificate
    authority: x509.Certificate

    @property
    def name(self) -> str:
        """Its common name: ``LOGIN@SERVER_ID``."""
        return _name(self.issued)

    @property
    def texts(self) -> tuple[str, str, str]:
        """PEM of the key (PKCS #8, not encrypted), of its certificate, of the authority's."""
        secret = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = (one.public_bytes(Encoding.PEM).decode() for one in (self.leaf, self.authority))
        leaf, authority = public
        return secret.decode(), leaf, authority


def ask(host: str, project: str = "", environ: Mapping[str, str] | None = None) -> TlsClient:
    """A new key and its certificate, for the server of this name or id. ``project`` where several have one.

    By the resident agent, which holds the session and remembers what a step-up would have to be; by the token of
    ``OSTIARY_CONTROL_TOKEN_FILE`` where that is set. Denied, NotFound, UsageError, Throttled or Unreachable, as refused.
    """
    environ = os.environ if environ is None else environ
    key = ec.generate_private_key(ec.SECP256R1())
    public = ssh_key.of(key.public_key()).text()
    request = CertificateRequest(host, public, X509, project=project)
    if environ.get(credentials.GIVEN):
        with credentials.signed_in(environ) as control:
            issued = control.call("POST", CERTIFICATES, request, Issued)
    else:
        issued = _by_resident(request, environ)
    return checked(issued, key, host)


def _by_resident(request: CertificateRequest, environ: Mapping[str, str]) -> Issued:
    answer = talk.ask(
        place.run_folder(environ),
        "x509",
        control=place.read_profile(environ).control,
        host=request.server,
        project=request.project,
        public_key=request.public_key,
    )
    try:
        return decode(Issued, str(answer.get("issued")).encode())
    except InvalidMessage as wrong:
        raise Unreachable(
            "cannot read what the resident agent answered", why=str(wrong), fix="run: ostiary login"
        ) from wrong


def checked(issued: Issued, key: ec.EllipticCurvePrivateKey, host: str) -> TlsClient:
    """Denied unless it is a certificate for ``key`` and ``host``, by the authority that came with it."""
    what = f"refuse the certificate for {host}"
    try:
        leaf, authority = x509.load_pem_x509_certificates(issued.certificate.encode())
        leaf.verify_directly_issued_by(authority)
        authority.verify_directly_issued_by(authority)
        names = [str(one.value) for one in leaf.subject]
    except (ValueError, TypeError, InvalidSignature) as error:
        why = "it is no certificate with the one of its authority behind it"
        raise Denied(what, why=why, code="foreign-certificate") from error
    if _public(leaf.public_key()) != _public(key.public_key()):
        why = "it is not for the key that was made for it"
    elif host not in (issued.server.name, issued.server.server_id) or names != [_name(issued)]:
        why = f"it is for {', '.join(names) or 'nobody'}"
    else:
        return TlsClient(issued, key, leaf, authority)
    raise Denied(what, why=why, code="foreign-certificate")


def _name(issued: Issued) -> str:
    return f"{issued.login}@{issued.server.server_id}"


def _public(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return] # every key of cryptography has it
