"""Whether what was decided about a certificate is still so in the transaction that writes it down.

Between the decision and its row lie a signature, perhaps by KMS, and the commits of others. The row is written only for
whoever is signed in, active and entitled there: the project's chain is held, so nothing of it changes after that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, select

from ostiary.doors.servers.control import people as people_kept
from ostiary.doors.servers.control import sessions as sessions_kept
from ostiary.doors.servers.control.authorities import Authority
from ostiary.doors.servers.control.line import Apart
from ostiary.doors.servers.control.sessions import Caller
from ostiary.doors.servers.control.statement import Statement
from ostiary.doors.servers.control.step_up import check_sign_in
from ostiary.doors.servers.control.tables import devices, people, projects, sessions
from ostiary.doors.servers.control.view import Views
from ostiary.doors.servers.control.ways import Places, Way, find_way
from ostiary.doors.servers.control.writer import Guard, Ledger
from ostiary.doors.servers.wire.person import CertificateRequest
from ostiary.errors import Denied, Throttled

_NOW = Statement(
    select(people.c.login, people.c.groups, people.c.active, devices.c.state, projects.c.generation)
    .join(sessions, sessions.c.person_id == people.c.id)
    .join(projects, projects.c.id == bindparam("project"))
    .join(devices, devices.c.id == sessions.c.device, isouter=True)
    .where(sessions.c.hash == bindparam("session"))
)


class Moved(Throttled, Apart):
    """It is to be decided again: what may be signed is another certificate by now."""

    def __init__(self) -> None:
        super().__init__(
            "cannot issue a certificate now", why="what decides it changes too fast", code="busy"
        )


def guard(ledger: Ledger, way: Way, caller: Caller, asked: CertificateRequest) -> Guard:
    """Denied for whom nobody is signed in as any more, NotFound for who may not enter, Moved where all is otherwise."""

    def judge(connection: Connection, row: Any) -> None:
        login, groups, active, device, generation = row or ("", "", False, None, 0)
        if not active or (caller.device and device != sessions_kept.ACTIVE):
            raise Denied(
                "cannot answer this",
                why="the session has ended",
                fix="run: ostiary login",
                code="no-session",
            )
        person = replace(caller.person, login=login, groups=people_kept.groups_of(groups))
        if generation == way.view.project.generation and person == caller.person:
            return
        now = find_way(Places(connection, Views()), person, asked, ledger.now)
        check_sign_in(caller, now.view.project, ledger.now)
        if _decided(now) != _decided(way):
            raise Moved

    values = {"session": caller.session, "project": way.view.project.id}
    return Guard(_NOW, values, judge)


def _decided(way: Way) -> tuple[Any, ...]:
    """What a certificate is made of."""
    return (
        way.access,
        (way.server.id, way.server.name, way.server.address, way.server.port),
        (way.target.id, way.target.bastion),
        [_signs(one) for one in way.view.authorities],
        way.view.project.name,
    )


def _signs(authority: Authority) -> tuple[str, str]:
    return authority.id, authority.state
