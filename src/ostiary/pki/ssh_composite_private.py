"""Private keys of the composite of ML-DSA-44 and Ed25519, and OpenSSH's files of them, which ``cryptography`` does not read.

Sources: OpenSSH PROTOCOL.key (the file; the cipher is aes256-ctr, the derivation bcrypt), ssh-mldsa-eddsa.c (two seeds of 32).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ostiary.errors import OstiaryError
from ostiary.pki.ssh_composite import LABEL, PREFIX, TYPE, CompositePublicKey
from ostiary.pki.ssh_wire import Reader, unreadable

_MAGIC = b"openssh-key-v1\0"
_SEED = 32
_KEY, _IV = 32, 16  # bytes of AES-256 in counter mode
_WRONG = "incorrect passphrase supplied to decrypt private key"


class CompositePrivateKey:
    """Signs with both halves."""

    __slots__ = ("_ed25519", "_mldsa")

    def __init__(self, seeds: bytes) -> None:
        if len(seeds) != 2 * _SEED:
            raise unreadable(f"its seeds have {len(seeds)} bytes")
        self._mldsa = MLDSA44PrivateKey.from_seed_bytes(seeds[:_SEED])
        self._ed25519 = Ed25519PrivateKey.from_private_bytes(seeds[_SEED:])

    def public_key(self) -> CompositePublicKey:
        return CompositePublicKey(self._mldsa.public_key(), self._ed25519.public_key())

    def sign(self, data: bytes) -> bytes:
        signed = PREFIX + LABEL + b"\0" + hashlib.sha512(data).digest()
        return self._mldsa.sign(signed, LABEL) + self._ed25519.sign(signed)


def read(data: bytes, passphrase: Callable[[], bytes]) -> CompositePrivateKey | None:
    """The key in the bytes of a file; None when it is of another type. ``passphrase`` is asked for if it is encrypted."""
    try:
        body = base64.b64decode(b"".join(data.strip().splitlines()[1:-1]), validate=True)
    except binascii.Error:
        return None
    if not body.startswith(_MAGIC):
        return None
    reader = Reader(body[len(_MAGIC) :])
    try:
        cipher, derivation, options = reader.text(), reader.text(), reader.string()
        reader.u32()  # one key
        if Reader(reader.string()).text() != TYPE:
            return None
    except OstiaryError:
        return None
    held = reader.string()
    if cipher != "none":
        held = _decrypted(held, cipher, derivation, Reader(options), passphrase)
    return _private(Reader(held))


def _private(reader: Reader) -> CompositePrivateKey:
    if reader.u32() != reader.u32() or reader.text() != TYPE:
        raise unreadable("its passphrase is another", _WRONG)
    public = reader.string()
    made = CompositePrivateKey(reader.string())
    if made.public_key().raw != public:
        raise unreadable("its two halves are not of one key")
    return made


def _decrypted(
    held: bytes, cipher: str, derivation: str, options: Reader, passphrase: Callable[[], bytes]
) -> bytes:
    if (cipher, derivation) != ("aes256-ctr", "bcrypt"):
        why = f"its cipher is {cipher[:40]}"
        raise OstiaryError(
            "cannot read this private key", why=why, code="key encrypted using unsupported cipher"
        )
    import bcrypt  # noqa: PLC0415 - only encrypted keys need it

    salt, rounds = options.string(), options.u32()
    word = passphrase()
    if not word:
        raise unreadable("its passphrase is another", _WRONG)
    derived = bcrypt.kdf(word, salt, _KEY + _IV, rounds, ignore_few_rounds=True)
    opened = Cipher(algorithms.AES(derived[:_KEY]), modes.CTR(derived[_KEY:])).decryptor()
    return opened.update(held) + opened.finalize()
