"""Enrollment tokens: once or counted, expiring, revocable. Only the SHA-256 of one is kept."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.projects import Project
from ostiary.doors.servers.control.secret import new_id, new_token, token_hash
from ostiary.doors.servers.control.tables import enrollment_tokens
from ostiary.doors.servers.wire.admin import LONGEST_TOKEN, MOST_USES, Token
from ostiary.errors import Denied, NotFound, UsageError


def make(
    connection: Connection, ledger: Ledger, project: Project, *, uses: int, seconds: float
) -> tuple[str, str]:
    """Id and text of a new enrollment token; the only time that it is seen."""
    if not 1 <= uses <= MOST_USES or not 0 < seconds <= LONGEST_TOKEN:
        raise UsageError(
            f"cannot make a token for {uses} uses and {seconds} s",
            why=f"1 to {MOST_USES} uses and at most {LONGEST_TOKEN / 86400:.0f} days are given",
            code="bad-request",
        )
    token, token_id = new_token("enroll"), new_id("tok")
    connection.execute(
        insert(enrollment_tokens).values(
            hash=token_hash(token),
            id=token_id,
            project_id=project.id,
            uses_left=uses,
            expires=ledger.now + seconds,
            revoked=False,
            created=ledger.now,
        )
    )
    ledger.append(
        project.id, "token.created", {"token": token_id, "uses": uses, "seconds": seconds}
    )
    return token_id, token


def use(connection: Connection, ledger: Ledger, token: str) -> tuple[str, str] | None:
    """Take one use of a token: (project id, token id), None if it is unknown, used up, expired or revoked.

    One statement, so that of many who come at once no more than ``uses`` succeed.
    """
    table = enrollment_tokens
    taken = connection.execute(
        update(table)
        .where(
            table.c.hash == token_hash(token),
            table.c.uses_left > 0,
            table.c.expires > ledger.now,
            table.c.revoked.is_(False),
        )
        .values(uses_left=table.c.uses_left - 1)
        .returning(table.c.project_id, table.c.id)
    ).one_or_none()
    return (taken.project_id, taken.id) if taken else None


def project_of(connection: Connection, token: str) -> str | None:
    """The id of the project that a token is of, good or not; None for one that we did not make."""
    table = enrollment_tokens
    return connection.scalar(select(table.c.project_id).where(table.c.hash == token_hash(token)))


def of_project(connection: Connection, project: Project) -> tuple[Token, ...]:
    table = enrollment_tokens
    rows = connection.execute(
        select(table).where(table.c.project_id == project.id).order_by(table.c.created, table.c.id)
    )
    return tuple(
        Token(row.id, row.uses_left, row.expires, row.revoked, row.created) for row in rows
    )


def revoke(connection: Connection, ledger: Ledger, project: Project, token_id: str) -> None:
    table = enrollment_tokens
    found = connection.execute(
        update(table)
        .where(table.c.id == token_id, table.c.project_id == project.id)
        .values(revoked=True)
    )
    if found.rowcount != 1:
        raise NotFound(f"no enrollment token has the id {token_id[:40]!r}", code="no-token")
    ledger.append(project.id, "token.revoked", {"token": token_id})


def refused(name: str) -> Denied:
    """Said alike of every token that lets nobody in."""
    return Denied(
        f"cannot enroll {name[:80]}",
        why="the enrollment token is unknown, used up, expired or revoked",
        fix="make another with: ostiary servers token create --project PROJECT",
        code="bad-token",
    )
