"""Who this host is: its SSH host key, and what it was told when it enrolled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ostiary.doors.servers.agent.files import HostError, Paths, write
from ostiary.doors.servers.agent.run import attempt
from ostiary.doors.servers.wire.host import NAMESPACE

_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


@dataclass(frozen=True)
class Identity:
    """``ca_file`` "" for the system's authorities; ``break_glass_account`` "" for none beside LocalUsers."""

    server_id: str
    project: str
    url: str
    name: str
    ca_file: str = ""
    break_glass_account: str = ""


def read(paths: Paths) -> Identity:
    """HostError when this host is not enrolled."""
    try:
        return Identity(**json.loads(paths.identity.read_bytes()))
    except FileNotFoundError as error:
        raise HostError(
            "this host is not enrolled", fix="run: ostiary agent enroll --help"
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise HostError(f"cannot read {paths.identity}: {error}") from error


def keep(paths: Paths, identity: Identity) -> None:
    write(paths.identity, json.dumps(asdict(identity), sort_keys=True), 0o600)


def host_key(paths: Paths) -> str:
    """The public host key in authorized_keys form, without comment."""
    path = paths.host_key.with_name(paths.host_key.name + ".pub")
    try:
        kind, blob = path.read_text().split()[:2]
    except (OSError, ValueError) as error:
        raise HostError(f"cannot read {path}", why=str(error), fix="run: ssh-keygen -A") from error
    return f"{kind} {blob}"


def proof(paths: Paths, server_id: str, challenge: str, request: tuple[str, str, bytes]) -> str:
    """The value of the header ``Ostiary-Host`` for (method, path with query, body); see wire/host.py."""
    method, target, body = request
    message = "\n".join((method, target, challenge, hashlib.sha256(body).hexdigest()))
    key = str(paths.host_key)
    argv = ("ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", key)
    code, text, complaint = attempt(*argv, stdin=message.encode())
    if code:
        old = "unknown option" in complaint or "illegal option" in complaint
        raise HostError(
            "ssh-keygen cannot sign for this host",
            why=complaint,
            fix="install OpenSSH 8.1 or later" if old else "",
        )
    signature = "".join(text.decode().replace(_BEGIN, "").replace(_END, "").split())
    return f"{server_id or '-'} {challenge} {signature}"


def authority(paths: Paths) -> Path:
    """Where the control plane's own certificate authority is kept, if it has one."""
    return paths.var / "control-ca.pem"
