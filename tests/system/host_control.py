"""The other side of the agent: a control plane that speaks wire over TLS, checks each proof with ssh-keygen, and says what a test wants.

Its certificates are made with the product's own encoder, as the real control plane makes them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import re
import secrets
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hosts import CONTROL, CONTROL_INNER, Fleet, Host

from ostiary.doors.servers.wire.host import (
    HEADER,
    NAMESPACE,
    Challenge,
    Enroll,
    Enrolled,
    Entry,
    HostReport,
    HostState,
    HostUser,
    SudoRule,
)
from ostiary.doors.servers.wire.message import decode, encode
from ostiary.doors.servers.wire.person import Refusal
from ostiary.pki import ssh_certificate, ssh_key
from ostiary.pki.signer import LocalSigner
from ostiary.pki.ssh_certificate import HOST, Certificate
from ostiary.pki.ssh_option import flag

LOGIN, SHELL = "alice", ("permit-pty",)


class Peer:
    """``says`` is what the next states are: a HostState by server id, or bytes as they are. Reports are kept."""

    def __init__(
        self, fleet: Fleet, folder: Path, names=(CONTROL, CONTROL_INNER, "control")
    ) -> None:
        self.folder, self.names = Path(tempfile.mkdtemp(dir=folder)), names
        self.user = LocalSigner(ec.generate_private_key(ec.SECP256R1()))
        self.glass = LocalSigner(ed25519.Ed25519PrivateKey.generate())
        self.host = LocalSigner(ed25519.Ed25519PrivateKey.generate())
        self.tokens = {"a-token"}
        self.enrolled: dict[str, Enroll] = {}
        self.says: dict[str, HostState | bytes] = {}
        self.reports: list[tuple[str, HostReport]] = []
        self.before_thanks: Callable[[HostReport], None] = lambda _: None  # for a report
        self.clock = 0.0  # seconds that it is ahead
        self.challenges: set[str] = set()
        self.asked: list[str] = []
        self.ca_file, certificate = self._certificate()
        listener = fleet.listener(0)
        self.port = listener.getsockname()[1]
        self._server = ThreadingHTTPServer(
            ("", 0), type("Of", (Handler,), {"peer": self}), bind_and_activate=False
        )
        self._server.socket.close()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(listener, server_side=True)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://control:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def enroll(self, host: Host, *options: str) -> str:
        """The id of the server that the agent of ``host`` enrolled as."""
        host.write("/root/ca.pem", self.ca_file.read_text())
        self.tokens.add("a-token")
        argv = ["enroll", "--url", self.url, "--token-file", "-", "--ca-file", "/root/ca.pem"]
        return host.agent(*argv, *options, stdin="a-token\n").stdout.split()[0]

    def state(self, to: str, /, *users: HostUser, **changes) -> HostState:
        """Say this state to the server ``to`` from now on; a generation more than before."""
        last = self.says.get(to)
        before = last.generation if isinstance(last, HostState) else 0
        state = HostState(
            generation=before + 1,
            server_id=to,
            project="shop",
            users=users,
            groups=(),
            authorities=(self.user.public_key.text(),),
            break_glass=(self.glass.public_key.text(),),
            host_certificate=self.host_certificate(to),
            poll_seconds=5,
        )
        said = self.says[to] = replace(state, **changes)
        return said

    def host_certificate(self, server_id: str) -> str:
        enrolled = self.enrolled[server_id]
        kind, blob, _ = ssh_key.split_line(enrolled.host_key)
        assert kind == "ssh-ed25519"
        unsigned = Certificate(
            ssh_key.parse(blob),
            server_id,
            (server_id, enrolled.name),
            kind=HOST,
            valid_before=int(time.time()) + 86400,
        )
        return ssh_certificate.to_text(ssh_certificate.sign(unsigned, self.host))

    def _certificate(self) -> tuple[Path, Path]:
        """A certificate of its own for its names, and the file that trusts it."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "control plane of a test")])
        now = dt.datetime.now(dt.UTC)
        names = [
            x509.DNSName(one) if not one[0].isdigit() else x509.IPAddress(ipaddress.ip_address(one))
            for one in self.names
        ]
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = made.public_bytes(Encoding.PEM)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / "control-ca.pem").write_bytes(pem)
        (self.folder / "control.pem").write_bytes(private + pem)
        return self.folder / "control-ca.pem", self.folder / "control.pem"


def user(login=LOGIN, number=60001, server_id="srv_x", **fields) -> HostUser:
    """A LocalUser with a shell, unless told otherwise."""
    fields.setdefault("entries", (Entry(f"{login}@{server_id}"),))
    return HostUser(login, number, number + 3000, login.title(), **fields)


def admin(**fields) -> HostUser:
    return user(sudo=(SudoRule("admin", ("ALL",)),), **fields)


class Person:
    """Who connects: an ephemeral key, certificates by whatever authority, and OpenSSH's client on the client's network."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self.folder = fleet, Path(folder)
        self.key = self.folder / "key"
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.key]
        subprocess.run(argv, check=True)
        _, blob, _ = ssh_key.split_line(self.key.with_name("key.pub").read_text())
        self.public = ssh_key.parse(blob)

    def certificate(self, signer, principal, extensions=SHELL, **fields) -> Path:
        """A fresh one, as the control plane makes them: 180 s, one principal, 63 random bits."""
        now = int(time.time())
        fields = {
            "serial": secrets.randbits(63),
            "valid_after": now - 60,
            "valid_before": now + 120,
            "principals": (principal,),
            "extensions": tuple(map(flag, extensions)),
            **fields,
        }
        made = ssh_certificate.sign(Certificate(self.public, "a person", **fields), signer)
        path = self.folder / f"{secrets.token_hex(6)}-cert.pub"
        path.write_text(ssh_certificate.to_text(made) + "\n")
        return path

    def options(self, certificate: Path, program: str = "ssh") -> list[str]:
        settings = (
            f"CertificateFile={certificate}",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "KexAlgorithms=curve25519-sha256",  # the default costs most of a login's time
        )
        options = [part for one in settings for part in ("-o", one)]
        return [program, "-F", "none", "-i", str(self.key), *options]

    def ssh(
        self, host: Host, certificate: Path, *arguments: str, login=LOGIN, before=(), **options
    ):
        argv = [*self.options(certificate), *before, f"{login}@{host.address}", *arguments]
        return self.fleet.client.run(argv, check=False, **options)


class Handler(BaseHTTPRequestHandler):
    peer: Peer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.peer.asked.append(f"{self.command} {self.path}")
        try:
            status, content = self.respond(body)
        except PermissionError as refused:
            status, content = 403, encode(Refusal("refused", str(refused)))
        self.send_response(status)
        if status != 304:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        if status not in (204, 304):
            self.wfile.write(content)

    def respond(self, body: bytes) -> tuple[int, bytes]:
        if self.path == "/v1/hosts/challenge":
            challenge = secrets.token_hex(16)
            self.peer.challenges.add(challenge)
            return 200, encode(Challenge(challenge, time.time() + self.peer.clock))
        if self.path == "/v1/hosts/enroll":
            asked = decode(Enroll, body)
            self.proven("-", asked.host_key, body)
            if asked.token not in self.peer.tokens:
                raise PermissionError("the enrollment token is unknown or used up")
            self.peer.tokens.remove(asked.token)
            server_id = f"srv_{secrets.token_hex(4)}"
            self.peer.enrolled[server_id] = asked
            return 201, encode(Enrolled(server_id, "shop"))
        server_id = self.headers.get(HEADER, "").split(" ")[0]
        if server_id not in self.peer.enrolled:
            return 401, encode(Refusal("retired", "the server is retired", "sign again"))
        self.proven(server_id, self.peer.enrolled[server_id].host_key, body)
        if self.path == "/v1/hosts/report":
            report = decode(HostReport, body)
            self.peer.reports.append((server_id, report))
            self.peer.before_thanks(report)
            return 204, b""
        if self.path == "/v1/hosts/retire":
            del self.peer.enrolled[server_id]
            return 204, b""
        return self.state(server_id)

    def state(self, server_id: str) -> tuple[int, bytes]:
        held, wait = map(int, re.findall(r"=(\d+)", self.path))
        end = time.monotonic() + wait
        while True:
            said = self.peer.says.get(server_id, b"")
            if isinstance(said, bytes):
                return 200, said
            if said.generation != held:
                return 200, encode(said)
            if time.monotonic() >= end:
                return 304, b""
            time.sleep(0.02)

    def proven(self, server_id: str, host_key: str, body: bytes) -> None:
        named, challenge, signature = self.headers[HEADER].split(" ")
        if named != server_id or challenge not in self.peer.challenges:
            raise PermissionError("no such challenge")
        self.peer.challenges.remove(challenge)
        message = "\n".join((self.command, self.path, challenge, hashlib.sha256(body).hexdigest()))
        with Files(self.peer.folder) as folder:
            (folder / "signature").write_text(
                f"-----BEGIN SSH SIGNATURE-----\n{signature}\n-----END SSH SIGNATURE-----\n"
            )
            (folder / "allowed").write_text(f"host {host_key}\n")
            argv = ["ssh-keygen", "-Y", "verify", "-f", folder / "allowed", "-I", "host"]
            argv += ["-n", NAMESPACE, "-s", folder / "signature"]
            done = subprocess.run(argv, input=message.encode(), capture_output=True, check=False)
        if done.returncode:
            raise PermissionError(f"the signature is not the host's: {done.stdout.decode()}")


class Files:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / secrets.token_hex(8)

    def __enter__(self) -> Path:
        self.folder.mkdir()
        return self.folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)
