"""A control plane that only speaks the wire, sshds that ssh reaches on loopback, and a person with a home of their own."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from free_port import free_port

from ostiary.doors.servers.wire.message import decode, encode
from ostiary.doors.servers.wire.person import (
    CertificateRequest,
    Issued,
    Refusal,
    ServerEntry,
    Servers,
    Session,
    SignIn,
    SignInSettings,
)
from ostiary.pki import ssh_certificate, ssh_key
from ostiary.pki.signer import LocalSigner
from ostiary.pki.ssh_certificate import HOST, Certificate
from ostiary.pki.ssh_option import Options, flag

LOGIN = getpass.getuser()
HOP, SHELL = ("permit-port-forwarding",), ("permit-pty", "permit-agent-forwarding")
TOKEN = "ses_token-of-the-session"
PROOF_KEY = "proof-key-of-the-session"


class Peer(ThreadingHTTPServer):
    """Answers as ``ostiary serve`` would; ``refuse`` is what it says instead, ``issued`` what it gave out."""

    daemon_threads = True

    def __init__(self) -> None:
        self.user = LocalSigner(Ed25519PrivateKey.generate())
        self.host = LocalSigner(Ed25519PrivateKey.generate())
        self.servers: list[ServerEntry] = []
        self.refuse: tuple[int, Refusal] | None = None
        self.asked: list[tuple[CertificateRequest, dict[str, str]]] = []
        self.listed = 0
        self.slow = 0.0
        self.change: dict[str, Any] = {}  # fields of the next answers
        self.critical: Options = ()  # of the next certificates
        self.connections = 0
        self.issuer = ""
        self.seconds = 600.0
        self.signed_in: list[SignIn] = []
        self.signed_out = 0
        self.sockets: list[socket.socket] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def close_connections(self) -> None:
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def issue(self, request: CertificateRequest) -> Issued:
        server = next(one for one in self.servers if request.server in (one.name, one.server_id))
        now = int(time.time())
        hop = request.purpose == "hop"
        unsigned = Certificate(
            ssh_key.parse(request.public_key),
            "an id",
            (f"{LOGIN}@{server.server_id}{'.hop' if hop else ''}",),
            serial=len(self.asked),
            valid_after=now - 60,
            valid_before=now + 120,
            critical_options=self.critical,
            extensions=tuple(map(flag, HOP if hop else SHELL)),
        )
        fields = {"login": LOGIN, "host_authorities": (self.host.public_key.text(),), **self.change}
        made = ssh_certificate.sign(unsigned, self.user)
        return Issued(
            certificate=ssh_certificate.to_text(made),
            server=server,
            serial=str(made.serial),
            **fields,
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Peer

    def setup(self) -> None:
        self.server.connections += 1
        self.server.sockets.append(self.request)
        super().setup()

    def do_GET(self) -> None:
        if self.path == "/v1/sign-in":
            return self._say(200, SignInSettings(self.server.issuer, "0oa1", ("openid",)))
        self.server.listed += 1
        return self._say(200, Servers(tuple(self.server.servers)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/v1/sign-in":
            self.server.signed_in.append(decode(SignIn, body))
            expires = time.time() + self.server.seconds
            session = Session(TOKEN, expires, LOGIN, "alice@acme.example", "dev-1", PROOF_KEY)
            return self._say(200, session)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._say(401, Refusal("no-session", "the session is not known"))
        if self.path == "/v1/sign-out":
            self.server.signed_out += 1
            return self._say(204, None)
        request = decode(CertificateRequest, body)
        self.server.asked.append((request, dict(self.headers)))
        time.sleep(self.server.slow)
        if self.server.refuse:
            return self._say(*self.server.refuse)
        return self._say(200, self.server.issue(request))

    def _say(self, status: int, message: Any) -> None:
        body = encode(message) if message else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


class Host:
    """A real sshd on a loopback port of its own, with a host certificate, that lets the principals of one server in."""

    def __init__(self, folder: Path, peer: Peer, name: str, server_id: str, **more: str) -> None:
        folder.mkdir()
        self.folder, self.server_id = folder, server_id
        key = Ed25519PrivateKey.generate()
        write(
            folder / "key", key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        )
        self.certify(peer, key, (server_id, name))
        (folder / "ca.pub").write_text(peer.user.public_key.text() + "\n")
        (folder / "principals").write_text(
            f"{LOGIN}@{server_id}\n"
            f'restrict,port-forwarding,command="/bin/false" {LOGIN}@{server_id}.hop\n'
        )
        self.port = free_port()
        settings = {
            "ListenAddress": "127.0.0.1",
            "Port": str(self.port),
            "HostKey": str(folder / "key"),
            "HostCertificate": str(folder / "key-cert.pub"),
            "TrustedUserCAKeys": str(folder / "ca.pub"),
            "AuthorizedPrincipalsFile": str(folder / "principals"),
            "AuthorizedKeysFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PidFile": "none",
            "PasswordAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "KexAlgorithms": "curve25519-sha256",
            "Subsystem": "sftp internal-sftp",
            "LogLevel": "VERBOSE",
            **more,
        }
        config = folder / "config"
        config.write_text("".join(f"{one} {value}\n" for one, value in settings.items()))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-f", self.folder / "config", "-E", self.folder / "log"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._until_it_listens()

    def certify(self, peer: Peer, key: Ed25519PrivateKey, names: tuple[str, ...]) -> None:
        now = int(time.time())
        host = Certificate(
            ssh_key.of(key.public_key()), "host", names, HOST, 1, now - 60, now + 3600
        )
        made = ssh_certificate.sign(host, peer.host)
        (self.folder / "key-cert.pub").write_text(ssh_certificate.to_text(made) + "\n")

    def _until_it_listens(self) -> None:
        for _ in range(200):
            with socket.socket() as trying:
                if trying.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def entry(self, name: str, bastion: str = "", project: str = "prod") -> ServerEntry:
        return ServerEntry(
            self.server_id, name, project, "127.0.0.1", self.port, bastion, {}, 0.0, ("login",)
        )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


class Person:
    """Somebody's home and environment; ``sign_in`` starts the real resident agent for them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        run = home / "run"
        run.mkdir(parents=True, mode=0o700)
        self.environ = {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(run),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "SHELL": "/bin/sh",
        }
        self.folder = run / "ostiary"
        self.resident: subprocess.Popen[str] | None = None

    def sign_in(self, peer: Peer, *, device: str = "dev-1", seconds: float = 600) -> None:
        self.resident = subprocess.Popen(
            [sys.executable, "-P", "-m", "ostiary.doors.servers.client.resident"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ,
        )
        ends = time.time() + seconds
        session = Session(TOKEN, ends, LOGIN, "alice@acme.example", device, PROOF_KEY)
        held = {"control": peer.url, "ca": "", "session": encode(session).decode()}
        assert self.resident.stdin
        assert self.resident.stdout
        assert self.resident.stderr
        self.resident.stdin.write(json.dumps(held) + "\n")
        self.resident.stdin.close()
        said = self.resident.stdout.readline()
        assert said == "ready\n", said

    def sign_out(self) -> None:
        if self.resident:
            self.resident.terminate()
            self.resident.wait(10)
            for stream in (self.resident.stdout, self.resident.stderr):
                assert stream
                stream.close()
            self.resident = None

    def config(self) -> Path:
        """The block of ``ostiary ssh-config``, as ssh is given it with -F."""
        file = self.home / "ssh_config"
        if not file.exists():
            done = self.python(
                "import sys; from ostiary.doors.servers.client import ssh_config;"
                f"sys.stdout.write(ssh_config.block({LOGIN!r}))"
            )
            file.write_text(done.stdout)
        return file

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-c", code],
            env=self.environ,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )

    def ostiary(self, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "ostiary", *map(str, words)],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def command(self, *words: str) -> list[str]:
        return ["ssh", "-F", str(self.config()), "-o", "KexAlgorithms=curve25519-sha256", *words]

    def ssh(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )


def write(file: Path, data: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(data)
