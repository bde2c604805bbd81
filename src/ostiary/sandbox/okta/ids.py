"""Okta's forms of ids and times: ``00u`` + 17 characters, and milliseconds with a Z."""

from __future__ import annotations

import hashlib
import string
from dataclasses import dataclass
from datetime import UTC, datetime

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def base62(data: bytes, length: int) -> str:
    number = int.from_bytes(data, "big")
    text = ""
    while len(text) < length:
        number, index = divmod(number, len(ALPHABET))
        text += ALPHABET[index]
    return text


@dataclass(slots=True)
class Mint:
    """Gives ids in a repeatable order: two worlds built by the same seed have the same ids."""

    seed: str
    count: int = 0

    def __call__(self, prefix: str, length: int = 20) -> str:
        self.count += 1
        digest = hashlib.sha512(f"{self.seed}:{prefix}:{self.count}".encode()).digest()
        return prefix + base62(digest, length - len(prefix))


def stamp(at: float) -> str:
    """Seconds since the epoch as Okta writes them: ``2026-08-21T10:00:00.000Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
