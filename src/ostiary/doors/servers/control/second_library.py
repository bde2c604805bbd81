"""Whether a signature of an authority is good, judged by another library than the one that made it.

What goes wrong in one, in its code or in its memory, is not repeated by the other. Ed25519 is judged by libsodium, which also
takes half the time of OpenSSL; signatures by other keys by the library that there is. Sources: RFC 8709 section 6 (the form),
RFC 8032 section 5.1.7, libsodium "Public-key signatures".
"""

from __future__ import annotations

from nacl.bindings import crypto_sign_BYTES, crypto_sign_open
from nacl.exceptions import BadSignatureError

from ostiary.pki import ssh_signature
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_wire import string, u32

ED25519 = "ssh-ed25519"
_HEAD = string(ED25519.encode()) + u32(crypto_sign_BYTES)
_BEFORE_KEY = 4  # bytes of a key's body: its length


def verify(key: PublicKey, signature: bytes, data: bytes) -> None:
    """As ``ssh_signature.verify``: raises OstiaryError unless ``signature`` is exactly one good one of ``key`` over ``data``."""
    is_whole = len(signature) == len(_HEAD) + crypto_sign_BYTES and signature.startswith(_HEAD)
    if key.type != ED25519 or not is_whole:
        ssh_signature.verify(key, signature, data)
        return
    try:
        crypto_sign_open(signature[len(_HEAD) :] + data, key.body[_BEFORE_KEY:])
    except BadSignatureError as error:
        raise ssh_signature.incorrect(key) from error
