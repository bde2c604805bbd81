"""Identifiers and tokens. A token is 256 random bits; only its SHA-256 is kept, so the database opens nothing."""

from __future__ import annotations

import hashlib
import os
import secrets

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # no letter that is taken for another


def new_id(kind: str) -> str:
    """``srv_…`` with 80 random bits."""
    return f"{kind}_" + "".join(secrets.choice(_ALPHABET) for _ in range(16))


def new_token(kind: str) -> str:
    """A bearer secret that says what it is, so that scanners of repositories find it: ``ostiary_enroll_…``."""
    return f"ostiary_{kind}_{secrets.token_urlsafe(32)}"


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def new_serial() -> int:
    """63 random bits, never 0: what PostgreSQL's bigint and an SSH certificate both hold."""
    return int.from_bytes(os.urandom(8), "big") >> 1 or 1
