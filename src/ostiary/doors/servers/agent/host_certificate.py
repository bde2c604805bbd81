"""The host's certificate: taken only when it is for this host's key, and dropped when there is none any more."""

from __future__ import annotations

import base64
import hashlib
import time
from pathlib import Path

from ostiary.doors.servers.agent import identity, sshd
from ostiary.doors.servers.agent.files import HostError, Paths, folder, write
from ostiary.doors.servers.agent.hook import Reader, certificate
from ostiary.doors.servers.wire.host import HOST_MARK, HostState

KIND = "ssh-ed25519-cert-v01@openssh.com"
HOST = 2


def bring_in_line(state: HostState, paths: Paths) -> None:
    """Keep the certificate, or none. Source: OpenSSH PROTOCOL.certkeys."""
    text = state.host_certificate.strip()
    if text:
        _check(text, identity.host_key(paths), state.server_id)
    there = paths.host_certificate.read_text() if paths.host_certificate.exists() else ""
    if there.strip() == text:
        if text:
            write(paths.host_certificate, text + "\n")  # taken back, if it was given to somebody
        return
    folder(paths.var, 0o700)
    write(_unserved(paths), "")
    if text:
        folder(paths.etc)
        write(paths.host_certificate, text + "\n")
    else:
        paths.host_certificate.unlink()


def serve(paths: Paths) -> None:
    """Have sshd read a certificate that is new: it does so only when it starts. A kill before that is made good later."""
    if not _unserved(paths).exists():
        return
    settings = sshd.effective(paths.sshd_config, "root")
    if not sshd.reload(settings):
        sshd.start_again(settings)
        raise HostError("sshd did not answer after it was told to read the host's certificate")
    _unserved(paths).unlink()


def signed_by(paths: Paths) -> tuple[str, ...]:
    """The authority of the certificate that is shown, as a host reports it: HOST_MARK and fingerprint; nothing without one."""
    if _unserved(paths).exists():
        return ()
    try:
        words = paths.host_certificate.read_text().split()
        _, _, authority = certificate(base64.b64decode(words[1], validate=True))
    except (OSError, ValueError, IndexError):
        return ()
    digest = hashlib.sha256(authority).digest()
    return (f"{HOST_MARK}SHA256:{base64.b64encode(digest).decode().rstrip('=')}",)


def _unserved(paths: Paths) -> Path:
    return paths.var / "certificate-unserved"


def _check(text: str, host_key: str, server_id: str) -> None:
    words = text.split()
    if words[0] != KIND or len(words) < 2:  # noqa: PLR2004 - type and blob
        raise HostError("what came as the host's certificate is none for an Ed25519 key")
    try:
        reader = Reader(base64.b64decode(words[1], validate=True))
        reader.string(), reader.string()  # type, nonce
        key = reader.string()
        reader.number(8)  # serial
        kind, _, principals = reader.number(4), reader.string(), Reader(reader.string())
        _, before = reader.number(8), reader.number(8)
        first = principals.string().decode("utf-8", "replace")
    except (ValueError, IndexError) as error:
        raise HostError("the host's certificate cannot be read") from error
    own = Reader(base64.b64decode(host_key.split()[1]))
    own.string()
    if key != own.string() or kind != HOST:
        raise HostError("the certificate that came is not for this host's key")
    if first != server_id or before <= time.time():
        raise HostError("the certificate that came names another server, or has expired")
