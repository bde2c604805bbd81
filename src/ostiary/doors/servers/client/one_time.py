"""One connection's key and certificate: in memory, for one server, good for one signature.

A pass signs nothing until ``ssh`` has shown, by ``session-bind@openssh.com``, that it speaks with the server that the
certificate is for; then exactly one request to log in to that session, as that LocalUser. Sources: OpenSSH
PROTOCOL.agent section 1 (session-bind), PROTOCOL section 3.1 (publickey-hostbound), RFC 4252 section 7.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ostiary.doors.servers.wire.person import Issued
from ostiary.errors import Denied, OstiaryError
from ostiary.pki import ssh_certificate, ssh_key, ssh_signature
from ostiary.pki.ssh_certificate import HOST, Certificate
from ostiary.pki.ssh_wire import Reader, string

USERAUTH_REQUEST = 50
PUBLICKEY, HOSTBOUND = "publickey", "publickey-hostbound-v00@openssh.com"


@dataclass(slots=True)
class Pass:
    """What lets one process of ``ssh`` in once. ``blob`` is the certificate as the agent protocol offers it."""

    issued: Issued = field(repr=False)
    key: Ed25519PrivateKey = field(repr=False)
    certificate: Certificate = field(repr=False)
    blob: bytes = field(repr=False)
    used: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def comment(self) -> str:
        return f"{self.issued.login}@{self.issued.server.name} once"


@dataclass(frozen=True, slots=True)
class Session:
    """A connection of ``ssh`` that is proven to end at one host key."""

    id: bytes
    host_key: bytes


def made(issued: Issued, key: Ed25519PrivateKey) -> Pass:
    """A pass, checked: Denied where the certificate is not for ``key``, or is no user certificate."""
    certificate = ssh_certificate.parse(issued.certificate)
    if certificate.key != ssh_key.of(key.public_key()) or certificate.kind == HOST:
        raise Denied(
            f"refuse the certificate for {issued.server.name}",
            why="it is not for the key that was made for it",
            code="foreign-certificate",
        )
    return Pass(issued, key, certificate, ssh_certificate.encode(certificate))


def bind(wanted: Issued, message: bytes, clock: Callable[[], float]) -> Session:
    """Read ``session-bind``: host key, session id, signature, whether forwarded.

    Denied when the host key is no certificate of the server that was asked for, good now, by an authority of its
    project; when the session is not the host key's; or when the agent is to be forwarded.
    """
    reader = Reader(message)
    host_key, session_id, signature = reader.string(), reader.string(), reader.string()
    forwarded = reader.byte()
    reader.end()
    if forwarded:
        raise _refused("the agent would be forwarded")
    host = ssh_certificate.parse(host_key, lenient=True)
    ssh_certificate.verify(host)
    if host.authority not in [ssh_key.parse(one) for one in wanted.host_authorities]:
        raise _refused("no authority of the project made the host's certificate")
    if host.kind != HOST or wanted.server.server_id not in host.principals:
        raise _refused(f"the host is not {wanted.server.name}")
    if not host.valid_after <= clock() < host.valid_before:
        raise _refused("the host's certificate is not valid now")
    ssh_signature.verify(host.key, signature, session_id)
    return Session(session_id, host_key)


def sign(one: Pass, session: Session, blob: bytes, data: bytes) -> bytes:
    """The signature over ``data`` in SSH's form, once. Denied for anything but the login to ``session``."""
    if blob != one.blob:
        raise _refused("another key is asked for")
    _check_request(one, session, data)
    with one.lock:
        if one.used:
            raise _refused("this certificate was used")
        one.used = True
    return string(b"ssh-ed25519") + string(one.key.sign(data))


def _check_request(one: Pass, session: Session, data: bytes) -> None:
    reader = Reader(data)
    if reader.string() != session.id:
        raise _refused("the request is for another session")
    if reader.byte() != USERAUTH_REQUEST:
        raise _refused("it is no request to log in")
    login, service, method = reader.text(), reader.text(), reader.text()
    if login != one.issued.login or service != "ssh-connection":
        raise _refused(f"the request is for {login}")
    if method not in (PUBLICKEY, HOSTBOUND) or reader.byte() != 1:
        raise _refused("it is no request to log in with a key")
    if reader.text() != one.certificate.type or reader.string() != one.blob:
        raise _refused("another key is named in the request")
    if method == HOSTBOUND and reader.string() != session.host_key:
        raise _refused("another host is named in the request")
    reader.end()


def _refused(why: str) -> OstiaryError:
    return Denied("refuse to sign", why=why, code="sign-refused")
