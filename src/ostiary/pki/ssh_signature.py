"""Signatures of SSH: their two layers of encoding, and whether one is good.

Sources: RFC 4253 section 6.6, RFC 8332 (rsa-sha2-256, rsa-sha2-512), RFC 5656 section 3.1.2 (ECDSA), RFC 8709 section 6
(Ed25519), OpenSSH PROTOCOL.u2f "SSH U2F signatures" (sk-; its form for browsers, webauthn-, is refused).
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from ostiary.errors import OstiaryError
from ostiary.pki.ssh_composite import CompositePublicKey
from ostiary.pki.ssh_key import PublicKey, loaded
from ostiary.pki.ssh_wire import Reader, encoded, mpint, unreadable

RSA_HASHES: dict[str, hashes.HashAlgorithm] = {
    "rsa-sha2-512": hashes.SHA512(),
    "rsa-sha2-256": hashes.SHA256(),
}
CURVE_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
PADDING = padding.PKCS1v15()
_SIGNING_AS_IT_IS = (ed25519.Ed25519PublicKey, CompositePublicKey)


def algorithms_of(key: PublicKey) -> tuple[str, ...]:
    """The names that a signature by this key may bear, the one to choose first. SHA-1 is not among them."""
    if key.type == "ssh-rsa":
        return tuple(RSA_HASHES)
    return (key.type,)


def algorithm(signature: bytes) -> str:
    """The name that a signature bears."""
    return Reader(signature).text()


def ecdsa_from_der(der: bytes) -> bytes:
    """The SSH form of what signers of X.509 kind give. Raises ValueError."""
    first, second = decode_dss_signature(der)
    return mpint(first) + mpint(second)


def verify(key: PublicKey, signature: bytes, data: bytes) -> None:
    """Raises OstiaryError unless ``signature`` is exactly one good signature of ``key`` over ``data``."""
    reader = Reader(signature)
    name = reader.text()
    if name not in algorithms_of(key):
        raise unreadable(
            f"it is signed with {name[:60]!r}, which a key of type {key.type} may not",
            "signature algorithm not supported",
        )
    value = reader.string()
    signed = _sk_signed(key, reader, data) if key.is_sk else data
    reader.end()
    try:
        _check(key, name, value, signed)
    except InvalidSignature as error:
        raise incorrect(key) from error


def incorrect(key: PublicKey) -> OstiaryError:
    why = f"the signature is not of the key {key.fingerprint}"
    return OstiaryError("refuse this SSH signature", why=why, code="incorrect signature")


def _check(key: PublicKey, name: str, value: bytes, data: bytes) -> None:
    public = loaded(key)
    if isinstance(public, _SIGNING_AS_IT_IS):
        public.verify(value, data)
    elif isinstance(public, rsa.RSAPublicKey):
        if len(value) > (public.key_size + 7) // 8:
            raise InvalidSignature
        whole = value.rjust((public.key_size + 7) // 8, b"\0")  # some signers drop leading zeros
        public.verify(whole, data, PADDING, RSA_HASHES[name])
    else:
        reader = Reader(value)
        der = encode_dss_signature(reader.mpint(), reader.mpint())
        reader.end()
        public.verify(der, data, ec.ECDSA(CURVE_HASHES[public.curve.name]))


def _sk_signed(key: PublicKey, reader: Reader, data: bytes) -> bytes:
    """What a FIDO authenticator signed when it was asked to sign ``data``."""
    flags, counter = reader.take(1), reader.take(4)
    application = hashlib.sha256(encoded(key.application)).digest()
    return application + flags + counter + hashlib.sha256(data).digest()
