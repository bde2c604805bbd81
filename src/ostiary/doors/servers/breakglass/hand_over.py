"""Giving the ephemeral key and its certificate to who broke the glass: into an SSH agent, or into files that they name.

Source: draft-ietf-sshm-ssh-agent sections 3.2 (add a key, with a certificate) and 3.2.7 (lifetime); PROTOCOL.agent.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ostiary.errors import OstiaryError, UsageError
from ostiary.pki import ssh_certificate
from ostiary.pki.ssh_certificate import Certificate
from ostiary.pki.ssh_wire import string, u32

_ADD_CONSTRAINED, _SUCCESS, _LIFETIME = 25, 6, 1
_SECONDS = 5.0


def to_agent(
    place: str, key: Ed25519PrivateKey, certificate: Certificate, comment: str, seconds: int
) -> None:
    """Into the agent at socket ``place``, which forgets it after ``seconds``. OstiaryError when it refuses."""
    public = key.public_key().public_bytes_raw()
    request = b"".join(
        (
            bytes((_ADD_CONSTRAINED,)),
            string(certificate.type.encode()),
            string(ssh_certificate.encode(certificate)),
            string(public),
            string(key.private_bytes_raw() + public),
            string(comment.encode()),
            bytes((_LIFETIME,)) + u32(seconds),
        )
    )
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.settimeout(_SECONDS)
            agent.connect(place)
            agent.sendall(string(request))
            answer = agent.recv(5)
    except OSError as error:
        why = str(error.strerror or error).lower()
        raise _no_agent(why) from error
    if answer != string(bytes((_SUCCESS,))):
        raise _no_agent("it refused the key")


def to_files(path: Path, key: Ed25519PrivateKey, certificate: Certificate) -> None:
    """``path`` (the private key, 0600) and ``path-cert.pub``. UsageError when one is there already."""
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    text = ssh_certificate.to_text(certificate) + "\n"
    beside = path.with_name(f"{path.name}-cert.pub")
    write_new(beside, text.encode())
    try:
        write_new(path, private)
    except BaseException:
        beside.unlink()
        raise


def write_new(path: Path, data: bytes) -> None:
    """A new file of mode 0600, on disk when it returns; UsageError when it is there."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as there:
        raise UsageError(
            f"cannot write {path}", why="it is there already", fix="name another with --out"
        ) from there
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> OstiaryError:
    why = str(error.strerror).lower()
    return OstiaryError(f"cannot write {path}", why=why, fix="name another place with --out")


def _no_agent(why: str) -> OstiaryError:
    return OstiaryError(
        "cannot give the key to the SSH agent",
        why=why,
        fix="start one with: eval $(ssh-agent), or name a file with --out FILE",
        code="agent",
    )
