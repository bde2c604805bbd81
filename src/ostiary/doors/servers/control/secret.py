"""Identifiers and tokens. A token is 256 random bits; only its SHA-256 is kept, so the database opens nothing."""

from __future__ import annotations

import hashlib
import secrets
import time

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # no letter that is taken for another
_MOMENT_BITS = 22
_RANDOM_BITS = 63 - _MOMENT_BITS


def new_id(kind: str) -> str:
    """``srv_…`` with 80 random bits."""
    return f"{kind}_" + "".join(secrets.choice(_ALPHABET) for _ in range(16))


def new_token(kind: str) -> str:
    """A bearer secret that says what it is, so that scanners of repositories find it: ``ostiary_enroll_…``."""
    return f"ostiary_{kind}_{secrets.token_urlsafe(32)}"


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def new_serial() -> int:
    """63 bits, never 0: what PostgreSQL's bigint and an SSH certificate both hold. All but the first 22 are random.

    The first are the clock's milliseconds, from 0 again after 70 minutes. A serial is the key of its table: so those that are
    made together stand together there, and the disk writes one page for them in place of one for each.
    """
    moment = time.time_ns() // 1_000_000 % (1 << _MOMENT_BITS)
    return moment << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS) or 1
