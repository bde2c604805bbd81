"""Signatures over messages as ``ssh-keygen -Y`` makes and verifies them.

Source: OpenSSH PROTOCOL.sshsig. What is signed is the magic, the namespace and the hash of the message, so a signature
of one purpose is none of another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from ostiary.errors import OstiaryError
from ostiary.pki import ssh_key, ssh_signature
from ostiary.pki.signer import Signer
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_wire import Reader, string, u32, unreadable

MAGIC = b"SSHSIG"
VERSION = 1
_HASHES = {"sha512": hashlib.sha512, "sha256": hashlib.sha256}


def sign(signer: Signer, namespace: str, message: bytes) -> str:
    """The base64 body of a signature file, in one line; see ``armored``."""
    signed = _signed(namespace, "sha512", message)
    blob = (
        MAGIC
        + u32(VERSION)
        + string(signer.public_key.blob)
        + string(namespace.encode())
        + string(b"")
        + string(b"sha512")
        + string(signer.sign(signed))
    )
    return base64.b64encode(blob).decode()


def armored(body: str) -> str:
    """The file that ``ssh-keygen -Y verify -s`` reads."""
    lines = [body[at : at + 70] for at in range(0, len(body), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def verify(body: str, namespace: str, message: bytes) -> PublicKey:
    """The key that signed ``message`` for ``namespace``. OstiaryError for everything else than one good signature."""
    try:
        blob = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise unreadable("its base64 is broken") from error
    if not blob.startswith(MAGIC):
        raise unreadable("it is no signature of ssh-keygen -Y")
    reader = Reader(blob[len(MAGIC) :])
    if reader.u32() != VERSION:
        raise unreadable("its version is another")
    key = ssh_key.parse(reader.string())
    named, reserved, hash_name = reader.text(), reader.string(), reader.text()
    signature = reader.string()
    reader.end()
    if named != namespace or reserved or hash_name not in _HASHES:
        raise unreadable(f"it is for {named[:60]!r} by {hash_name[:20]!r}, not for {namespace!r}")
    ssh_signature.verify(key, signature, _signed(namespace, hash_name, message))
    return key


def _signed(namespace: str, hash_name: str, message: bytes) -> bytes:
    if hash_name not in _HASHES:
        raise OstiaryError("cannot sign", why=f"no hash is named {hash_name}")
    return (
        MAGIC
        + string(namespace.encode())
        + string(b"")
        + string(hash_name.encode())
        + string(_HASHES[hash_name](message).digest())
    )
