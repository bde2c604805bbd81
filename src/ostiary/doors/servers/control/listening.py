"""Whether the control plane can listen where it is told to, asked before its database is touched."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

from ostiary.errors import Conflict, UsageError


def place(listen: str, *, tls: bool) -> tuple[str, int]:
    """Host and port of HOST:PORT. UsageError for plain HTTP elsewhere than on loopback."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    is_port = port.isascii() and port.isdigit() and len(port) <= len(str(MOST_PORT))
    if not host or not is_port or int(port) > MOST_PORT:
        raise UsageError(
            f"cannot listen on {listen}",
            why=f"it is not ADDRESS:PORT, with a port of at most {MOST_PORT}",
            fix="write it like: --listen 127.0.0.1:8443",
        )
    if not tls and not _is_loopback(host):
        raise UsageError(
            f"cannot listen on {listen}",
            why="without TLS only loopback is listened on",
            fix="add --tls-cert and --tls-key",
        )
    return host, int(port)


def check_url(url: str) -> None:
    """UsageError for what nobody can be told to reach."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("https", "http") and bool(parts.hostname)
        is_address = is_address and parts.port != 0  # which raises ValueError for what is none
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageError(
            f"cannot be reached at {url}",
            why="it is not https://HOST",
            fix="write it like: --url https://control.example",
        )


def own_url(listen: str, *, tls: bool) -> str:
    """That of who is told none. UsageError for every address of a machine: people and machines sign in to one name."""
    host = place(listen, tls=tls)[0]
    address = _address(host)
    if address is not None and address.is_unspecified:
        raise UsageError(
            f"cannot tell the URL of who listens on {listen}",
            why="that is every address of this machine, and a sign-in is for one",
            fix="add the URL that people type: --url https://HOST:PORT",
        )
    return f"{'https' if tls else 'http'}://{listen}"


def check_tls(certificate: Path, key: Path) -> None:
    """UsageError unless the two files are a certificate and its key, which opens without a passphrase."""
    what = f"cannot serve TLS with {certificate} and {key}"
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            why = f"{path}: {os.strerror(error.errno or 0).lower()}"
            raise UsageError(what, why=why, fix="correct --tls-cert and --tls-key") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, lambda: b"")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        mismatch = getattr(error, "reason", "") == "KEY_VALUES_MISMATCH"
        why = (
            "the key is of another certificate"
            if mismatch
            else "the first must hold a certificate in PEM, the second its key, without a passphrase"
        )
        raise UsageError(what, why=why, fix="correct --tls-cert and --tls-key") from error


MOST_PORT = 65535
BACKLOG = 4096
FREE_SECONDS = 2.0  # in which the workers of one that was killed just now are gone
_HINDERED = {
    errno.EADDRNOTAVAIL: "name an address of this machine: --listen 127.0.0.1:8443",
    errno.EACCES: "name a port above 1023: --listen ADDRESS:8443",
}


def sockets(listen: str, number: int = 1, *, tls: bool) -> list[socket.socket]:
    """So many sockets that listen at one address: the kernel shares connections out among them (SO_REUSEPORT, socket(7)).

    UsageError as above and for a host that is none of this machine's, Conflict where the port is not to be had.
    """
    host, port = place(listen, tls=tls)
    what = f"cannot listen on {listen}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError, OverflowError) as error:
        fix = "name an address of this machine: --listen 127.0.0.1:8443"
        raise UsageError(what, why=str(error), fix=fix) from error
    family, _, _, _, address = found[0]
    shared = number > 1
    try:
        if shared:
            _wait_until_free(family, address)
        return [
            socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=shared)
            for _ in range(number)
        ]
    except OSError as error:
        raise Conflict(
            what,
            why=os.strerror(error.errno or 0).lower(),
            fix=_HINDERED.get(
                error.errno or 0,
                "end what listens there, or name another with: --listen ADDRESS:PORT",
            ),
            code="listen",
        ) from error


def _wait_until_free(family: int, address: tuple[object, ...]) -> None:
    """OSError where somebody listens already. Sockets that share an address let in others of the same user unasked."""
    until = time.monotonic() + FREE_SECONDS
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as alone:
            alone.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # after connections that ended
            try:
                alone.bind(address)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > until:
                    raise
            else:
                return
        time.sleep(0.05)


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None
