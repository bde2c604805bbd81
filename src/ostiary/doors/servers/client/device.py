"""The device's own key: it signs each sign-in, so that the control plane knows this device again.

Source: ``wire/person.py``. Ed25519, in OpenSSH's form, in a file of mode 0600; it proves the device and nobody.
"""

from __future__ import annotations

import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
)

from ostiary.doors.servers.client.place import OTHERS, unwritable, write_private
from ostiary.doors.servers.wire.person import SIGN_IN_NAMESPACE, SignIn, sign_in_message
from ostiary.errors import UsageError
from ostiary.pki import sshsig
from ostiary.pki.signer import LocalSigner


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the control plane knows it: ``name`` is told, the key is proven."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)

    def sign_in(self, control: str, id_token: str, refresh_token: str) -> SignIn:
        """The message by which this device signs in by those tokens, at the control plane of that URL and no other."""
        signed = sign_in_message(control, id_token, refresh_token, self.name)
        proof = sshsig.sign(LocalSigner(self.key), SIGN_IN_NAMESPACE, signed)
        return SignIn(id_token, self.name, proof, refresh_token)


def this_device(file: Path) -> Device:
    """The key in ``file``, made when there is none. UsageError for one that others could have read, or no key.

    OstiaryError where it can be neither read nor made.
    """
    name = socket.gethostname().encode(errors="replace").decode()[:64] or "unnamed"
    try:
        with file.open("rb") as stream:
            mode, data = stat.S_IMODE(file.stat().st_mode), stream.read()
    except FileNotFoundError:
        return Device(name, _made(file))
    except OSError as error:
        raise _unusable(file, str(error.strerror).lower()) from error
    if mode & OTHERS:
        raise _unusable(file, f"others may read it (mode {mode:04o})")
    try:
        loaded = load_ssh_private_key(data, None)
    except ValueError as error:
        raise _unusable(file, "it is no private key of OpenSSH") from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise _unusable(file, "it is no Ed25519 key")
    return Device(name, loaded)


def _made(file: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    try:
        write_private(file, text)
    except OSError as error:
        raise unwritable(file, error) from error
    return key


def _unusable(file: Path, why: str) -> UsageError:
    return UsageError(
        f"cannot use {file} as the key of this device",
        why=why,
        fix=f"run: rm {file} && ostiary login",
    )
