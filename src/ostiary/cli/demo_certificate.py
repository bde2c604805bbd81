"""What somebody has who kept a certificate, as the client never does; and ``ssh`` of this machine."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ostiary.cli.demo_sshd import SECONDS, Host, program
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.client.place import write_private
from ostiary.doors.servers.wire.paths import CERTIFICATES
from ostiary.doors.servers.wire.person import LOGIN, CertificateRequest, Issued
from ostiary.errors import Unreachable
from ostiary.pki import ssh_certificate, ssh_key


@dataclass(frozen=True, slots=True)
class Kept:
    """A certificate that was put into files, as the client never does: what a thief would have."""

    issued: Issued
    folder: Path
    server: Host

    @classmethod
    def made(cls, folder: Path, control: Control, server: Host) -> Kept:
        key, issued = asked_for(control, server.server_id)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        write_private(folder / "kept", private.decode())
        write_private(folder / "kept-cert.pub", f"{issued.certificate}\n")
        known = (f"@cert-authority * {one}\n" for one in issued.host_authorities)
        write_private(folder / "kept-hosts", "".join(known))
        return cls(issued, folder, server)

    def enter(self) -> str:
        """What ``echo in`` said there. Unreachable with sshd's reason when it did not let in."""
        account = self.server.account or self.issued.login
        options = {
            "CertificateFile": self.folder / "kept-cert.pub",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": self.folder / "kept-hosts",
            "HostKeyAlias": self.server.server_id,
            "StrictHostKeyChecking": "yes",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        where = ["-p", str(self.server.port), f"{account}@127.0.0.1", "echo in"]
        return ssh(["-F", "none", "-i", str(self.folder / "kept"), *words, *where])

    def described(self) -> dict[str, object]:
        made = ssh_certificate.parse(self.issued.certificate)
        seconds = made.valid_before - made.valid_after
        return {
            "serial": str(made.serial),
            "principal": ", ".join(made.principals),
            "seconds": seconds,
        }


def asked_for(control: Control, server_id: str) -> tuple[Ed25519PrivateKey, Issued]:
    """A certificate for a key of its own."""
    key = Ed25519PrivateKey.generate()
    asked = CertificateRequest(server_id, ssh_key.of(key.public_key()).text(), LOGIN)
    return key, control.call("POST", CERTIFICATES, asked, kind=Issued)


def ssh(arguments: list[str]) -> str:
    """What a command said on the other side. Unreachable when ssh was not let in, with its last words."""
    done = subprocess.run(  # noqa: S603 - a list of ours, no shell
        [program("ssh"), "-T", "-o", "BatchMode=yes", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"its session was ended ({done.returncode})"]
        raise Unreachable("cannot enter the demo's server", why=said[-1])
    return done.stdout.strip()
