"""People as the org has them now, in the form in which we keep them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from sqlalchemy import Connection, delete

from ostiary.doors.servers.control import machines_kept, people
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.tables import sessions
from ostiary.errors import Denied
from ostiary.okta.client import OktaClient
from ostiary.okta.person_now import read_person

MACHINE = "machine:"  # how ids and logins of principals that are no people begin


class ReadsPeople(Protocol):
    """Where a sign-in takes groups from that the ID token does not say. Raises OstiaryErrors, never half a list."""

    def person(self, person_id: str) -> Person: ...

    def groups(self, person_id: str) -> tuple[str, ...]: ...


class OrgReader:
    """Reads people by Okta's API. Threads may share it; ``clock`` is the control plane's."""

    def __init__(self, client: OktaClient, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._clock = clock

    def person(self, person_id: str) -> Person:
        """Whoever is gone comes back inactive, without a login."""
        asked = self._clock()
        now = read_person(self._client, person_id)
        return Person(now.id, now.login, tuple(sorted(now.groups)), now.active, asked)

    def groups(self, person_id: str) -> tuple[str, ...]:
        """The names of the groups of somebody active. Denied for anybody else."""
        person = self.person(person_id)
        if not person.active:
            raise Denied(
                f"cannot let in {person.login or person_id}",
                why="the org has put this person out",
                fix="ask an administrator of the Okta org",
                code="inactive",
            )
        return person.groups


def keep_read(connection: Connection, ledger: Ledger, person: Person) -> None:
    """Keep what was read of somebody whom we know; of others there is nothing to keep.

    An older reading than the one that is kept changes nothing: two readers may pass each other. Whoever is inactive
    keeps the groups that were known, so that the audit shows who was put out, not that all groups were lost; the
    machines that they answer for are signed out with them, and with a login that they have no more: nobody would know
    later whose those machines were. Whose login is a machine's name by now is out too: rules and
    hosts would take the person for that machine, and no sign-in lets such a login in.
    """
    known = people.get(connection, person.id)
    if known is None or known.read > person.read:
        return
    if not person.active or person.login.startswith(MACHINE):
        person = Person(person.id, known.login, known.groups, active=False, read=person.read)
    people.keep(connection, ledger, person)
    if known.active and (not person.active or person.login != known.login):
        for name in machines_kept.owned_by(connection, known.login):
            machines_kept.sign_out(connection, ledger, name)


def end_sessions(connection: Connection, person_ids: Sequence[str]) -> None:
    """These people have to sign in again; what they may do stays as it is."""
    connection.execute(delete(sessions).where(sessions.c.person_id.in_(person_ids)))
