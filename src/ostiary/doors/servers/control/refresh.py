"""Who is still active at an issuer without a log to read: each person's refresh token is tried every few minutes.

The token lies in the database sealed under a key that the key-encryption key wraps, bound to its person. An answer with
an ID token of the person says that they are active, and in which groups. ``invalid_grant`` says that they are not, or
that the token has run out: both end their sessions and certificates until they sign in again, because nobody can tell
them apart. Anything else (network, 5xx, a limit, a changed client) says nothing: the person only grows older.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sqlalchemy import Connection, select, update

from ostiary.doors.servers.control import people, projects
from ostiary.doors.servers.control.database import Database, translated
from ostiary.doors.servers.control.identity import TokenVerifier
from ostiary.doors.servers.control.lease import Lease
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.org_reader import keep_read
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.tables import people as people_table
from ostiary.doors.servers.control.token_endpoint import GONE, TokenEndpoint
from ostiary.doors.servers.control.writer import Writer
from ostiary.errors import Denied, OstiaryError
from ostiary.plan.wrap import seal, unseal

DUTY = "refresh"
EVERY = 120.0  # seconds between two tries for one person: two may fail before certificates end
ROUND = 5.0
AT_ONCE = 8
MOST_IN_A_ROUND = 200
LONGEST_TOKEN = 8192
LOG = logging.getLogger("ostiary.refresh")


class RefreshTokens:
    """Keeps refresh tokens sealed under ``key`` (32 bytes), each bound to its person."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def keep(self, connection: Connection, person_id: str, token: str) -> None:
        """Keep the token of somebody who is kept already; "" forgets it."""
        if len(token) > LONGEST_TOKEN:
            token = ""
        sealed = seal(self._key, token.encode(), _context(person_id)) if token else None
        connection.execute(
            update(people_table).where(people_table.c.id == person_id).values(refresh=sealed)
        )

    def open(self, person_id: str, sealed: bytes) -> str:
        """Denied when the bytes are of another person, another key, or were changed."""
        return unseal(self._key, sealed, _context(person_id)).decode()


@dataclass(frozen=True, slots=True)
class _Due:
    person: Person
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the issuer said of one person. ``token`` "" keeps the one that was used."""

    person: Person
    used: bytes = field(repr=False)
    token: str = field(repr=False)


class Refresher:
    """The rounds of the duty ``refresh``."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        tokens: RefreshTokens,
        endpoint: TokenEndpoint,
        verifier: TokenVerifier,
        *,
        clock: Callable[[], float] = time.time,
        every: float = EVERY,
    ) -> None:
        self._database = database
        self._writer = writer
        self._tokens = tokens
        self._endpoint = endpoint
        self._verifier = verifier
        self._clock = clock
        self._every = every
        self._tried: dict[str, float] = {}  # when somebody was tried last, for who could not be
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix=DUTY)

    def __call__(self, lease: Lease) -> float:
        """Try everybody who is due. What is wrong with the issuer is raised after all were tried."""
        failed: list[OstiaryError] = []
        for found in self._pool.map(self._try, self._due()):
            if isinstance(found, OstiaryError):
                failed.append(found)
            else:
                self._keep(lease, found)
        if failed:
            raise failed[0]
        return ROUND

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _due(self) -> Sequence[_Due]:
        table, before = people_table, self._clock() - self._every
        query = (
            select(table)
            .where(table.c.refresh.is_not(None), table.c.active, table.c.read < before)
            .order_by(table.c.read)
        )
        with translated("cannot list people"), self._database.reading() as connection:
            rows = connection.execute(query).all()
        due = [row for row in rows if self._tried.get(row.id, 0.0) < before]
        return [_Due(people.of_row(row), row.refresh) for row in due[:MOST_IN_A_ROUND]]

    def _try(self, due: _Due) -> _Found | OstiaryError:
        asked = self._clock()
        person = due.person
        self._tried[person.id] = asked
        try:
            renewed = self._endpoint.renew(self._tokens.open(person.id, due.sealed))
            groups = self._groups(person, renewed.id_token)
        except Denied as error:
            if error.code != GONE:
                return error
            LOG.info("%s is no longer let in by the org: %s", person.login, error.why)
            out = Person(person.id, person.login, person.groups, active=False, read=asked)
            return _Found(out, due.sealed, "")
        except OstiaryError as error:
            return error
        still = Person(person.id, person.login, groups, active=True, read=asked)
        return _Found(still, due.sealed, renewed.refresh_token)

    def _groups(self, person: Person, id_token: str) -> tuple[str, ...]:
        if not id_token:
            raise Denied(
                f"cannot tell whether {person.login} is still active",
                why="the issuer gave no ID token: nothing says whose the refresh token is",
                code="no-id-token",
            )
        identity = self._verifier.verify(id_token)
        if identity.person_id != person.id:
            raise Denied(
                f"cannot tell whether {person.login} is still active",
                why=f"the issuer answered for {identity.person_id}",
                code="another-person",
            )
        return person.groups if identity.groups is None else identity.groups

    def _keep(self, lease: Lease, found: _Found) -> None:
        """One transaction each: a token that was rotated is kept before the next person is waited for."""
        lease.keep()
        person = found.person

        def work(connection: Connection, ledger: Ledger) -> None:
            lease.fence(connection)
            held = connection.scalar(
                select(people_table.c.refresh).where(people_table.c.id == person.id)
            )
            if held != found.used:
                return  # they signed in again meanwhile, and have another token
            keep_read(connection, ledger, person)
            if not person.active:
                self._tokens.keep(connection, person.id, "")
            elif found.token:
                self._tokens.keep(connection, person.id, found.token)

        with translated("cannot list projects"), self._database.reading() as connection:
            project_ids = [one.id for one in projects.every(connection)]
        self._writer.write(project_ids, work)


def _context(person_id: str) -> bytes:
    return b"refresh token of " + person_id.encode()
