"""What may be used once, on whatever process, until it would have expired anyway: proofs of people and hosts, ID tokens."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.tables import challenges


def use(connection: Connection, mark: str, expires: float) -> bool:
    """Take the one use of what has this SHA-256 (hex); False when it was used already."""
    if connection.scalar(select(challenges.c.challenge).where(challenges.c.challenge == mark)):
        return False
    connection.execute(insert(challenges).values(challenge=mark, expires=expires))
    return True


def forget(connection: Connection, ledger: Ledger) -> None:
    """Strike out what has expired."""
    connection.execute(delete(challenges).where(challenges.c.expires < ledger.now))
