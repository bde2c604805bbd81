"""Who signs: a key that somebody holds, known only by what it can do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from ostiary.errors import OstiaryError
from ostiary.pki import ssh_composite_private, ssh_key
from ostiary.pki.ssh_composite_private import CompositePrivateKey
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_signature import (
    CURVE_HASHES,
    PADDING,
    RSA_HASHES,
    algorithms_of,
    ecdsa_from_der,
)
from ostiary.pki.ssh_wire import encoded, string

Private: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Signing: TypeAlias = Private | CompositePrivateKey
_SIGNING_AS_IT_IS = (ed25519.Ed25519PrivateKey, CompositePrivateKey)
Passphrase: TypeAlias = bytes | Callable[[], bytes] | None


class Signer(Protocol):
    """Holds a key of SSH. ``sign`` gives a signature in SSH's form, by the name ``algorithm``; errors are of our tree."""

    @property
    def public_key(self) -> PublicKey: ...

    @property
    def algorithm(self) -> str: ...

    def sign(self, data: bytes) -> bytes: ...


class LocalSigner:
    """A private key of ``cryptography``, which may itself only speak for a key elsewhere (``aws/kms_key.py``).

    ``algorithm`` chooses among the names an RSA key may sign with; without, rsa-sha2-512.
    """

    __slots__ = ("_head", "_key", "algorithm", "public_key")

    def __init__(self, key: Signing, algorithm: str | None = None) -> None:
        self._key = key
        self.public_key = ssh_key.of(key.public_key())
        names = algorithms_of(self.public_key)
        self.algorithm = algorithm or names[0]
        if self.algorithm not in names:
            raise OstiaryError(
                f"cannot sign with {self.algorithm}",
                why=f"a key of type {self.public_key.type} signs with {' or '.join(names)}",
                code="signature algorithm not supported",
            )
        self._head = string(encoded(self.algorithm))

    def sign(self, data: bytes) -> bytes:
        return self._head + string(self._raw(data))

    def _raw(self, data: bytes) -> bytes:
        key = self._key
        if isinstance(key, _SIGNING_AS_IT_IS):
            return key.sign(data)
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(data, PADDING, RSA_HASHES[self.algorithm])
        return ecdsa_from_der(key.sign(data, ec.ECDSA(CURVE_HASHES[key.curve.name])))


def load(path: Path, passphrase: Passphrase = None, algorithm: str | None = None) -> LocalSigner:
    """The signer of a private key file; see ``load_private_key``."""
    return LocalSigner(load_private_key(path, passphrase), algorithm)


def load_private_key(path: Path, passphrase: Passphrase = None) -> Signing:
    """The key in a file of OpenSSH's own form, PKCS #8 or PEM.

    ``passphrase`` is asked for only when the file is encrypted. Raises OstiaryError; ``code`` is OpenSSH's text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unloadable(path, str(error.strerror), str(error.strerror)) from error
    return private_key(data, passphrase, path)


def private_key(data: bytes, passphrase: Passphrase, path: Path) -> Signing:
    """The key in the bytes of a private key file; ``path`` is for errors."""
    read = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in data else load_pem_private_key
    given = passphrase if callable(passphrase) else lambda: passphrase or b""
    composite = ssh_composite_private.read(data, given) if read is load_ssh_private_key else None
    if composite is not None:
        return composite
    encrypted = False
    try:
        try:
            key = read(data, None)
        except TypeError:  # cryptography's way to say that it is encrypted
            encrypted = True
            key = read(data, given())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _refused(path, data, error, encrypted=encrypted) from error
    if not isinstance(key, Private):
        raise _unloadable(path, "SSH has no authority of such a key", ssh_key.UNKNOWN_TYPE)
    return key


def _refused(path: Path, data: bytes, error: Exception, *, encrypted: bool) -> OstiaryError:
    """Another passphrase may decrypt to nonsense with right padding (1 in 256): that is a wrong passphrase too."""
    text = str(error)
    if isinstance(error, UnsupportedAlgorithm) and "key type" in text.lower():
        return _unloadable(path, text, ssh_key.UNKNOWN_TYPE)
    if isinstance(error, UnsupportedAlgorithm):
        return _unloadable(path, text, "key encrypted using unsupported cipher")
    words = ("password", "checksum", "decrypt")
    if encrypted or (b"PRIVATE KEY" in data and any(word in text.lower() for word in words)):
        return _unloadable(
            path,
            "its passphrase is another",
            "incorrect passphrase supplied to decrypt private key",
        )
    return _unloadable(path, "it holds no private key that can be read", "invalid format")


def _unloadable(path: Path, why: str, code: str) -> OstiaryError:
    return OstiaryError(f"cannot load the private key {path}", why=why.lower(), code=code)
