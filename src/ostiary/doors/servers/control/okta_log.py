"""The one poller of an org's System Log: whoever is put out, or moved between groups, is so here within seconds.

A round asks the log from the stored place to its end, reads each person that it names from the org itself, and keeps
them together with the new place in one transaction, fenced by the lease. A round that was cut anywhere is done again
from the same place. The log only says whom to look at: what is kept is what the org answers about that person, whole.

Whoever was kept by somebody else, as a sign-in does by what an ID token of a while ago says, is looked at too, and so is
everybody now and then and after a start, for what a log might have swallowed: a few in each round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

from sqlalchemy import Connection, insert, select, update

from ostiary.doors.servers.control import people
from ostiary.doors.servers.control.database import Database, translated
from ostiary.doors.servers.control.lease import Lease
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.log_meaning import Meant
from ostiary.doors.servers.control.org_reader import MACHINE, OrgReader, end_sessions, keep_read
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.tables import cursors, projects
from ostiary.doors.servers.control.tables import people as table
from ostiary.doors.servers.control.writer import Writer
from ostiary.errors import OstiaryError
from ostiary.okta.client import OktaClient
from ostiary.okta.system_log import LogPage, read_log

DUTY = "okta-log"
SHORTEST, LONGEST = 1.0, 30.0  # seconds between two rounds
UNKNOWN = 6.0  # where the org does not say what it allows
OVERLAP = 120.0  # seconds that a first reading begins in the past
AGAIN = 3600.0  # seconds after which everybody is looked at again
AT_ONCE = 8
EACH_ROUND = 5  # people looked at again in one round


def interval(limit: int | None, share: float) -> float:
    """Seconds between two rounds, so that they use no more than ``share`` of ``limit`` calls a minute."""
    if not limit or share <= 0:
        return UNKNOWN
    return min(LONGEST, max(SHORTEST, 60.0 / (limit * share)))


class OrgLog:
    """The rounds of the duty ``okta-log`` for the org of ``client``, whose app ``app`` people sign in to.

    ``share`` of its rate limit is used at most.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        client: OktaClient,
        *,
        app: str = "",
        share: float = 0.5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.org = urlsplit(client.url).netloc
        self._database = database
        self._writer = writer
        self._client = client
        self._reader = OrgReader(client, clock)
        self._app = app
        self._share = share
        self._clock = clock
        self._ours: dict[str, float] = {}  # when we read whom last
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix=DUTY)

    def __call__(self, lease: Lease) -> float:
        """One round. Raises what kept it from its end; then nothing of the log counts as read."""
        began = self._clock()
        place, read = self._place()
        known = self._known()
        if place is None:
            self._look_at(
                lease, known.keys()
            )  # before the first reading of a log nothing is known of anybody
        meant, last = Meant(), LogPage((), "", None)
        for page in read_log(self._client, place or "", min(read or began, began) - OVERLAP):
            for event in page.events:
                meant.add(event, self._app)
            last = page
            began = self._clock() if page.events else began
        self._follow(lease, meant, known.keys())
        wait = interval(last.limit, self._share)
        self._keep_place(lease, last.following, began, wait)
        self._look_again(lease)
        return wait

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _follow(self, lease: Lease, meant: Meant, known: AbstractSet[str]) -> None:
        if len(meant.leaving | meant.changed) > AT_ONCE:
            self._keep_told(lease, meant, known)
        self._look_at(lease, meant.leaving & known)
        moved = self._members(meant.groups) if meant.groups else set()
        self._look_at(lease, (moved | meant.changed & known) - meant.leaving)
        if meant.groups:
            self._ours.clear()  # a group was renamed: its new name says not who has it
        without_app = self._members(meant.without_app) if meant.without_app else set()
        out = sorted((meant.logged_out | without_app) & known)
        if out:
            self._write(lease, [], lambda connection, _: end_sessions(connection, out))

    def _keep_told(self, lease: Lease, meant: Meant, known: AbstractSet[str]) -> None:
        """Take the log's own word for who is out and who left, before so many are read: the org's limits may make it slow.

        Nobody gains anything by it, and all of them are read next.
        """
        lost = meant.lost()
        ids = sorted((lost.keys() | {one for one, out in meant.out.items() if out}) & known)

        def work(connection: Connection, ledger: Ledger) -> None:
            for one in ids:
                person = people.get(connection, one)
                if person is not None:
                    groups = tuple(name for name in person.groups if name not in lost.get(one, ()))
                    active = person.active and not meant.out.get(one, False)
                    keep_read(connection, ledger, replace(person, groups=groups, active=active))

        if ids:
            self._write(lease, self._project_ids(), work)

    def _look_again(self, lease: Lease) -> None:
        """Some of those whom somebody else kept, the latest first, or who were not read for long."""
        before = self._clock() - AGAIN
        due = [
            (read, one)
            for one, read in self._known().items()
            if self._ours.get(one) != read or read < before
        ]
        self._look_at(lease, [one for _, one in sorted(due, reverse=True)[:EACH_ROUND]])

    def _look_at(self, lease: Lease, ids: Iterable[str]) -> None:
        """Read people and keep all that could be read; then raise what some could not be read for."""
        wanted = sorted(ids)
        found: list[Person] = []
        failed: list[OstiaryError] = []
        for result in self._pool.map(self._read, wanted):
            if isinstance(result, Person):
                found.append(result)
            else:
                failed.append(result)
        if found:
            self._keep(lease, found)
        if failed:
            raise failed[0]

    def _read(self, person_id: str) -> Person | OstiaryError:
        try:
            return self._reader.person(person_id)
        except OstiaryError as error:
            return error

    def _keep(self, lease: Lease, found: Sequence[Person]) -> None:
        def work(connection: Connection, ledger: Ledger) -> None:
            for person in found:
                keep_read(connection, ledger, person)

        self._write(lease, self._project_ids(), work)
        self._ours |= {person.id: person.read for person in found}

    def _write(
        self, lease: Lease, project_ids: Sequence[str], work: Callable[[Connection, Ledger], None]
    ) -> None:
        lease.keep()  # a long reading may have used up what was left

        def fenced(connection: Connection, ledger: Ledger) -> None:
            lease.fence(connection)
            work(connection, ledger)

        self._writer.write(project_ids, fenced)

    def _project_ids(self) -> Sequence[str]:
        with translated("cannot list projects"), self._database.reading() as connection:
            return list(connection.scalars(select(projects.c.id)))

    def _known(self) -> dict[str, float]:
        """Everybody, with when they were read."""
        query = select(table.c.id, table.c.read).where(table.c.id.not_like(f"{MACHINE}%"))
        with translated("cannot list people"), self._database.reading() as connection:
            return {row.id: row.read for row in connection.execute(query)}

    def _members(self, groups: set[str]) -> set[str]:
        """Who is in one of these groups, as far as we know."""
        with translated("cannot list people"), self._database.reading() as connection:
            listed = people.every(connection)
        return {one.id for one in listed if groups.intersection(one.groups)}

    def _place(self) -> tuple[str | None, float]:
        with translated("cannot see how far the log was read"), self._database.reading() as found:
            row = found.execute(
                select(cursors.c.next, cursors.c.read).where(cursors.c.org == self.org)
            ).one_or_none()
        return (row.next, row.read) if row else (None, 0.0)

    def _keep_place(self, lease: Lease, following: str, read: float, wait: float) -> None:
        values = {"next": following, "read": read, "interval": wait}

        def work(connection: Connection, _: Ledger) -> None:
            changed = connection.execute(
                update(cursors).where(cursors.c.org == self.org).values(**values)
            )
            if not changed.rowcount:
                connection.execute(insert(cursors).values(org=self.org, **values))

        self._write(lease, [], work)
