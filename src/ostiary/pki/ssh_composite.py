"""The composite of ML-DSA-44 and Ed25519 that OpenSSH has from 10.5 on: a signature is good when both of its halves are.

Sources: OpenSSH ssh-mldsa-eddsa.c; draft-ietf-lamps-pq-composite-sigs (prefix, label and the pre-hash of the message).
Private keys: ``ssh_composite_private.py``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

TYPE = "ssh-mldsa44-ed25519@openssh.com"
CERTIFICATE_TYPE = "ssh-mldsa44-ed25519-cert-v01@openssh.com"
BITS = 256  # as OpenSSH says
_MLDSA_KEY, _ED25519_KEY = 1312, 32  # bytes
_MLDSA_SIGNATURE, _ED25519_SIGNATURE = 2420, 64
PREFIX = b"CompositeAlgorithmSignatures2025"
LABEL = b"COMPSIG-MLDSA44-Ed25519-SHA512"


@dataclass(frozen=True, slots=True)
class CompositePublicKey:
    mldsa: MLDSA44PublicKey
    ed25519: Ed25519PublicKey

    @classmethod
    def of(cls, raw: bytes) -> CompositePublicKey:
        """Raises ValueError for bytes that are no key of this type."""
        if len(raw) != _MLDSA_KEY + _ED25519_KEY:
            raise ValueError(f"it has {len(raw)} bytes")
        return cls(
            MLDSA44PublicKey.from_public_bytes(raw[:_MLDSA_KEY]),
            Ed25519PublicKey.from_public_bytes(raw[_MLDSA_KEY:]),
        )

    @property
    def raw(self) -> bytes:
        return self.mldsa.public_bytes_raw() + self.ed25519.public_bytes_raw()

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises InvalidSignature unless both halves are good."""
        if len(signature) != _MLDSA_SIGNATURE + _ED25519_SIGNATURE:
            raise InvalidSignature
        signed = PREFIX + LABEL + b"\0" + hashlib.sha512(data).digest()  # an empty context
        self.mldsa.verify(signature[:_MLDSA_SIGNATURE], signed, LABEL)
        self.ed25519.verify(signature[_MLDSA_SIGNATURE:], signed)
