"""Whether what was decided about a certificate is still so in the transaction that writes it down.

Between the decision and its row lie a signature, perhaps by KMS, and the commits of others. The row is written only for
whoever is signed in, active and entitled there: the project's chain is held, so nothing of it changes after that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from ostiary.doors.servers.control import people as people_kept
from ostiary.doors.servers.control.authorities import Authority
from ostiary.doors.servers.control.ledger import Guard, Ledger
from ostiary.doors.servers.control.line import Apart
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.sessions import Caller
from ostiary.doors.servers.control.statement import Lookup
from ostiary.doors.servers.control.step_up import check_sign_in
from ostiary.doors.servers.control.tables import people, projects, sessions
from ostiary.doors.servers.control.view import Views
from ostiary.doors.servers.control.ways import PlacesNow, Way, find_way
from ostiary.doors.servers.wire.person import CertificateRequest
from ostiary.errors import Denied, Throttled

_PERSON = Lookup(
    select(people.c.login, people.c.groups)
    .join(sessions, sessions.c.person_id == people.c.id)
    .where(people.c.active),
    sessions.c.hash,
)
_PROJECT = Lookup(select(projects.c.generation), projects.c.id)


class Moved(Throttled, Apart):
    """It is to be decided again: what may be signed is another certificate by now."""

    def __init__(self) -> None:
        super().__init__(
            "cannot issue a certificate now", why="what decides it changes too fast", code="busy"
        )


class StillSo:
    """For one certificate. Raises Denied for whom nobody is signed in as any more (a session ends with its device, too),
    NotFound for who may not enter, Moved where all is otherwise."""

    def __init__(self, ledger: Ledger, way: Way, caller: Caller, asked: CertificateRequest) -> None:
        self._ledger = ledger
        self._way = way
        self._caller = caller
        self._asked = asked
        ledger.guards += (
            Guard(_PERSON, caller.session, self._person),
            Guard(_PROJECT, way.view.project.id, self._project),
        )

    def _person(self, connection: Connection, row: Any) -> None:
        if row is None:
            raise Denied(
                "cannot answer this",
                why="the session has ended",
                fix="run: ostiary login",
                code="no-session",
            )
        login, groups = row[0], people_kept.groups_of(row[1])
        known = self._caller.person
        if (login, groups) != (known.login, known.groups):
            self._decide(connection, replace(known, login=login, groups=groups))

    def _project(self, connection: Connection, row: Any) -> None:
        view, now = self._way.view, self._ledger.now
        moved = row is None or row[0] != view.project.generation
        if moved or not view.counts(self._caller.person, self._way.target, now):
            self._decide(connection, self._caller.person)

    def _decide(self, connection: Connection, person: Person) -> None:
        """By what is there now; what was read in a transaction that may yet be undone is kept by nobody."""
        now = find_way(PlacesNow(connection, Views()), person, self._asked, self._ledger.now)
        check_sign_in(self._caller, now.view.project, self._ledger.now)
        if _decided(now) != _decided(self._way):
            raise Moved


def _decided(way: Way) -> tuple[Any, ...]:
    """What a certificate is made of."""
    return (
        way.access,
        way.preauthorization,
        (way.server.id, way.server.name, way.server.address, way.server.port),
        (way.target.id, way.target.bastion),
        [_signs(one) for one in way.view.authorities],
        way.view.project.name,
    )


def _signs(authority: Authority) -> tuple[str, str]:
    return authority.id, authority.state
