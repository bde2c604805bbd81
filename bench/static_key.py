"""The peer of a certificate: a key that an account has in ``authorized_keys``, with the same exchange of keys."""

from __future__ import annotations

from typing import Any

ACCOUNT = "static"


def options(person: Any, host: Any, known_hosts: str) -> list[str]:
    """Options of ssh for ``person`` (of door_world) to enter ``host`` as ``ACCOUNT``, which is made there."""
    key, known = person.home / ACCOUNT, person.home / "known"
    keys = f"/home/{ACCOUNT}/.ssh/authorized_keys"
    person.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    host.run(["useradd", "-m", "-s", "/bin/bash", ACCOUNT])
    host.run(["install", "-d", "-m", "700", "-o", ACCOUNT, f"/home/{ACCOUNT}/.ssh"])
    host.write(keys, key.with_name(f"{ACCOUNT}.pub").read_text(), 0o600)
    host.run(["chown", ACCOUNT, keys])
    known.write_text(known_hosts)
    asked = {
        "IdentityFile": key,
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": known,
        "StrictHostKeyChecking": "yes",
        "KexAlgorithms": "curve25519-sha256",
        "HostKeyAlgorithms": "ssh-ed25519",
    }
    return ["-F", "none", *(f"-o{name}={value}" for name, value in asked.items())]
