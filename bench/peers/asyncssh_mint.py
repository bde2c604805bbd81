"""A peer: certificates per CPU second by asyncssh, of the same content as ``bench/pki.py`` makes.

python bench/peers/asyncssh_mint.py TYPE SECONDS
"""

from __future__ import annotations

import sys
import time

import asyncssh


def main(kind: str, seconds: float) -> None:
    size = {"key_size": 3072} if kind == "ssh-rsa" else {}
    authority = asyncssh.generate_private_key(kind, **size)
    key = asyncssh.generate_private_key("ssh-ed25519")

    def mint() -> object:
        return authority.generate_user_certificate(
            key,
            "ada@acme.example",
            serial=7,
            principals=["ada@srv_k3x9"],
            valid_after=1_800_000_000,
            valid_before=1_800_000_180,
        )

    mint()
    made, started = 0, time.process_time()
    while time.process_time() - started < seconds:
        mint()
        made += 1
    print(made / (time.process_time() - started))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
