"""The files of ssh-keygen: authorities, public keys, certificates."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path

from ostiary.errors import OstiaryError
from ostiary.pki import signer, ssh_certificate, ssh_key
from ostiary.pki.keygen import talk
from ostiary.pki.keygen.passphrase import asked as typed
from ostiary.pki.signer import Signing
from ostiary.pki.ssh_certificate import Certificate
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_wire import Reader

_FRAME = "@" * 59
_MAGIC = b"openssh-key-v1\0"


def expanded(name: str) -> str:
    """``~`` and ``~user`` at the front become homes."""
    return os.path.expanduser(name)  # noqa: PTH111 - Path would drop ./ from names that are told


def private_key(name: str, passphrase: str | None) -> Signing:
    """The key of a file that nobody else may read. Asks for its passphrase when none was given."""

    def asked() -> bytes:
        return typed(f'Enter passphrase for "{name}": ')

    try:
        _check_mode(name)
        return signer.load_private_key(
            Path(name), asked if passphrase is None else os.fsencode(passphrase)
        )
    except OSError as error:
        raise OstiaryError(f'Load key "{name}"', why=str(error.strerror)) from error
    except OstiaryError as error:
        raise OstiaryError(f'Load key "{name}"', why=error.code) from error


def public_key(name: str) -> tuple[PublicKey | Certificate, str] | None:
    """The first key or certificate of a file, of ``FILE.pub``, or of a private key's readable part; its comment."""
    return _first_line(name) or _first_line(f"{name}.pub") or _half_of_private(name)


def read_line(text: str) -> PublicKey | Certificate:
    """A key, or a certificate whose signature is good."""
    if text.split(None, 1)[:1] and text.split(None, 1)[0] in ssh_key.KEY_TYPES:
        certificate = ssh_certificate.parse(text, lenient=True)
        ssh_certificate.verify(certificate)
        return certificate
    return ssh_key.parse(text)


def write(name: str, text: str) -> None:
    """Mode 0644 less the umask; a file that is there keeps its own."""
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.fsencode(text))
    except OSError as error:
        why = str(error.strerror)
        raise OstiaryError(f"Unable to save public key to {name}", why=why) from error


def _first_line(name: str) -> tuple[PublicKey | Certificate, str] | None:
    try:
        lines = os.fsdecode(Path(name).read_bytes()).split("\n")
    except OSError:
        return None
    for text in lines:
        if text.startswith("-----BEGIN"):
            return None
        if not text.strip(" \t") or text.startswith("#"):
            continue
        try:
            return read_line(text), ssh_key.split_line(text)[2] or name
        except OstiaryError:
            continue
    return None


def _half_of_private(name: str) -> tuple[PublicKey, str] | None:
    """OpenSSH's private key files hold the public key unencrypted. Source: PROTOCOL.key."""
    try:
        body = b"".join(Path(name).read_bytes().strip().splitlines()[1:-1])
        data = base64.b64decode(body, validate=True)
        if not data.startswith(_MAGIC):
            return None
        reader = Reader(data[len(_MAGIC) :])
        reader.string(), reader.string(), reader.string(), reader.u32()
        return ssh_key.parse(reader.string()), ""
    except (OSError, OstiaryError, binascii.Error):
        return None


def _check_mode(name: str) -> None:
    found = Path(name).stat()
    if found.st_uid == os.getuid() and found.st_mode & 0o077:
        for line in (
            _FRAME,
            "@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @",
            _FRAME,
            f"Permissions {stat.S_IMODE(found.st_mode):04o} for '{name}' are too open.",
            "It is required that your private key files are NOT accessible by others.",
            "This private key will be ignored.",
        ):
            talk.say(line)
        raise OstiaryError("refuse a private key that others may read", code="bad permissions")
