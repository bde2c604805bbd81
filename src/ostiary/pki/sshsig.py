"""Signatures over messages, as ``ssh-keygen -Y sign`` makes and ``ssh-keygen -Y verify`` reads them.

Source: OpenSSH PROTOCOL.sshsig. What is signed is the namespace, the name of a hash and the hash of the message, so a
signature for one purpose is none for another. Everything that cannot be read or is not good raises OstiaryError.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from ostiary.errors import OstiaryError
from ostiary.pki import ssh_key, ssh_signature
from ostiary.pki.signer import Signer
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_wire import Reader, encoded, string, u32, unreadable

_MAGIC = b"SSHSIG"
_VERSION = 1
_HASHES = ("sha512", "sha256")  # the first is what we and ssh-keygen sign with
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_WIDTH = 70  # characters of base64 on a line


def sign(signer: Signer, namespace: str, message: bytes) -> str:
    """The base64 of the signature, in one line (see ``armored``); it was verified before it leaves."""
    head = string(encoded(namespace)) + string(b"") + string(_HASHES[0].encode())
    signature = signer.sign(_to_be_signed(namespace, _HASHES[0], message))
    blob = _MAGIC + u32(_VERSION) + string(signer.public_key.blob) + head + string(signature)
    text = base64.b64encode(blob).decode()
    verify(text, namespace, message)
    return text


def armored(signature: str) -> str:
    """The file that ``ssh-keygen -Y verify -s`` reads."""
    lines = [signature[at : at + _WIDTH] for at in range(0, len(signature), _WIDTH)]
    return "\n".join((_BEGIN, *lines, _END, ""))


def verify(signature: str, namespace: str, message: bytes) -> PublicKey:
    """Who signed. Whether to trust that key is the caller's to judge.

    ``signature`` has its armor, or is the base64 within it alone.
    """
    reader = Reader(_unarmored(signature))
    if reader.take(len(_MAGIC)) != _MAGIC or reader.u32() != _VERSION:
        raise unreadable("it is no SSH signature of version 1")
    key = ssh_key.parse(reader.string())
    for_namespace, _, hashed_by = reader.text(), reader.string(), reader.text()
    value = reader.string()
    reader.end()
    if for_namespace != namespace:
        raise OstiaryError(
            "refuse this SSH signature",
            why=f"it was made for {for_namespace[:60]!r}, not for {namespace!r}",
            code="incorrect signature",
        )
    if hashed_by not in _HASHES:
        raise unreadable(f"its message is hashed by {hashed_by[:60]!r}")
    ssh_signature.verify(key, value, _to_be_signed(namespace, hashed_by, message))
    return key


def _to_be_signed(namespace: str, hashed_by: str, message: bytes) -> bytes:
    digest = hashlib.new(hashed_by, message).digest()
    return (
        _MAGIC
        + string(encoded(namespace))
        + string(b"")
        + string(hashed_by.encode())
        + string(digest)
    )


def _unarmored(signature: str) -> bytes:
    lines = [line.strip() for line in signature.strip().splitlines()]
    if lines and lines[0] == _BEGIN:
        if lines[-1] != _END:
            raise unreadable("its last line is missing")
        lines = lines[1:-1]
    try:
        return base64.b64decode("".join(lines), validate=True)
    except (binascii.Error, ValueError) as error:
        raise unreadable("its base64 is broken") from error
