"""Keys of every type, a FIDO authenticator in software, and OpenSSH's programs as judges."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from ostiary.pki import ssh_key
from ostiary.pki.signer import LocalSigner
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_wire import mpint, string

STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0
PLAIN = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)
FIDO = (ssh_key.SK_ED25519, ssh_key.SK_ECDSA)


def make(kind: str):
    """A private key of a type; for a FIDO type the one inside the authenticator."""
    if "ed25519" in kind:
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ssh-rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ssh_key.CURVES[kind.partition("@")[0][-8:]])


class Authenticator:
    """A FIDO authenticator as PROTOCOL.u2f describes one, its key in memory; satisfies ``Signer``."""

    def __init__(self, kind: str, application: str = "ssh:") -> None:
        self.key, self.algorithm, self.application = make(kind), kind, application
        plain = ssh_key.of(self.key.public_key())
        self.public_key = PublicKey(kind, plain.body + string(application.encode()))
        self.flags, self.counter = 1, 0

    def sign(self, data: bytes) -> bytes:
        self.counter += 1
        tail = bytes((self.flags,)) + self.counter.to_bytes(4, "big")
        signed = hashlib.sha256(self.application.encode()).digest() + tail
        signed += hashlib.sha256(data).digest()
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            value = self.key.sign(signed)
        else:
            der = self.key.sign(signed, ec.ECDSA(SHA256()))
            value = b"".join(map(mpint, decode_dss_signature(der)))
        return string(self.algorithm.encode()) + string(value) + tail


class Keys:
    """One private key of each type, made when it is first asked for, and its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[str, object] = {}

    def __getitem__(self, kind: str):
        if kind not in self._made:
            self._made[kind] = make(kind)
        return self._made[kind]

    def signer(self, kind: str, algorithm: str | None = None) -> LocalSigner:
        return LocalSigner(self[kind], algorithm)

    def public(self, kind: str) -> PublicKey:
        if kind in FIDO:
            return self.authenticator(kind).public_key
        return ssh_key.of(self[kind].public_key())

    def authenticator(self, kind: str) -> Authenticator:
        name = f"authenticator {kind}"
        if name not in self._made:
            self._made[name] = Authenticator(kind)
        return self._made[name]

    def file(self, kind: str, passphrase: bytes = b"") -> Path:
        """The private key in OpenSSH's form, mode 0600; the public one beside it."""
        path = self.folder / f"{kind}{'-locked' if passphrase else ''}"
        if not path.exists():
            form = PrivateFormat.OpenSSH
            one_round = form.encryption_builder().kdf_rounds(
                1
            )  # as ssh-keygen -a 1: who guesses it?
            locked = one_round.build(passphrase) if passphrase else NoEncryption()
            pem = self[kind].private_bytes(Encoding.PEM, form, locked)
            path.touch(mode=0o600)
            path.write_bytes(pem)
            path.with_name(path.name + ".pub").write_text(self.public(kind).text(kind) + "\n")
        return path


def program(name: str) -> str:
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if found is None:
        text = f"not run: no {name}; make test installs it as root"
        (pytest.fail if STRICT else pytest.skip)(text)
    return found


def ssh_keygen(*arguments, check=True, **options) -> subprocess.CompletedProcess[str]:
    """The real one, in UTC."""
    return subprocess.run(
        [program("ssh-keygen"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=check,
        env={"TZ": "UTC", "PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        **options,
    )


class Sshd:
    """Debian's sshd, started by ssh for each connection as a proxy command: no port, nothing left running."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self.folder, self.user = folder, getpass.getuser()
        self.sshd, self.ssh = program("sshd"), program("ssh")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.host_key = keys.file("ssh-ed25519")
        self.options: dict[str, str] = {}  # of ssh
        self.settings: dict[str, str] = {}  # of sshd

    def login(self, certificate: str, key: Path, command: str = "true", **settings: str):
        """Try to enter with a certificate (its text) and its private key file; ``settings`` are sshd's."""
        config = self.folder / "sshd_config"
        lines = {
            "HostKey": str(self.host_key),
            "StrictModes": "no",
            "UsePAM": "no",
            "PermitRootLogin": "prohibit-password",
            "PasswordAuthentication": "no",
            "AuthorizedKeysFile": "none",
            "LogLevel": "VERBOSE",
            **self.settings,
            **settings,
        }
        config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        offered = self.folder / "offered-cert.pub"
        offered.write_text(certificate + "\n")
        log = self.folder / "sshd.log"
        log.unlink(missing_ok=True)
        options = {
            "ProxyCommand": f"{self.sshd} -i -f {config} -E {log}",
            "CertificateFile": str(offered),
            "IdentityFile": str(key),
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "BatchMode": "yes",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "GlobalKnownHostsFile": "/dev/null",
            "KexAlgorithms": "curve25519-sha256",  # a fifth of the time of the default
            **self.options,
        }
        flags = [f"-o{name}={value}" for name, value in options.items()]
        done = subprocess.run(
            [self.ssh, "-F", "none", *flags, f"{self.user}@web1", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        self.log = log.read_text() if log.exists() else ""
        return done
