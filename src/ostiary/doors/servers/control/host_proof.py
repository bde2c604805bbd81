"""Proof that a request comes from a host: a challenge of ours, used once, signed with the host's SSH key.

A challenge is ``TIME.NONCE.TAG``: the tag is HMAC-SHA-256 under a secret of the database, so asking for challenges
writes nothing; only one that was used is written down, until it would have expired anyway.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection

from ostiary.doors.servers.control import used_once
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.secret import token_hash
from ostiary.doors.servers.wire.host import NAMESPACE
from ostiary.errors import Denied, OstiaryError
from ostiary.pki import sshsig
from ostiary.pki.ssh_key import PublicKey

SECONDS = 120
_TAG = 32  # characters of the tag that are kept: 128 bits
LONGEST = 8192  # characters of the header: an RSA-4096 signature has some 2,000


@dataclass(frozen=True, slots=True)
class Proof:
    """What the header says, its signature checked: ``key`` signed it. ``server_id`` is "" to enrol."""

    server_id: str
    challenge: str
    key: PublicKey


class Challenges:
    """Makes and knows challenges. ``secret`` is the same in every process on one database."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, now: float) -> str:
        stem = f"{int(now)}.{secrets.token_hex(12)}"
        return f"{stem}.{self._tag(stem)}"

    def is_ours(self, challenge: str, now: float) -> bool:
        stem, _, tag = challenge.rpartition(".")
        if not hmac.compare_digest(tag.encode(), self._tag(stem).encode()):
            return False
        return 0 <= now - int(stem.partition(".")[0]) + 1 <= SECONDS + 1

    def _tag(self, stem: str) -> str:
        return hmac.new(self._secret, stem.encode(), hashlib.sha256).hexdigest()[:_TAG]


def check(known: Challenges, header: str, asked: tuple[str, str, bytes], now: float) -> Proof:
    """The proof in an ``Ostiary-Host`` header, for (method, path with query, body).

    Denied for any that is not whole, ours and of now; use it once.
    """
    parts = header.split(" ")
    if len(parts) != 3 or len(header) > LONGEST:  # noqa: PLR2004 - server, challenge, signature
        raise refused("it is not: Ostiary-Host: SERVER_ID CHALLENGE SIGNATURE")
    server_id, challenge, signature = parts
    if not known.is_ours(challenge, now):
        raise refused(f"its challenge is not of ours, or older than {SECONDS} s")
    method, target, body = asked
    message = f"{method}\n{target}\n{challenge}\n{hashlib.sha256(body).hexdigest()}".encode()
    try:
        key = sshsig.verify(signature, NAMESPACE, message)
    except OstiaryError as error:
        raise refused(error.why) from error
    return Proof("" if server_id == "-" else server_id, challenge, key)


def use(connection: Connection, ledger: Ledger, challenge: str) -> None:
    """Take the one use of a challenge. Denied when it was used already, by whatever process."""
    if not used_once.use(connection, token_hash(challenge), ledger.now + SECONDS + 1):
        raise refused("its challenge was used already")


def refused(why: str) -> Denied:
    return Denied(
        "cannot take this for a request of the host",
        why=why,
        fix="ask for a new challenge and sign again",
        code="bad-proof",
    )


def retired() -> Denied:
    return Denied(
        "cannot take a request of this host",
        why="the server is retired",
        fix="on the host, run: ostiary agent remove --offline",
        code="retired",
    )
