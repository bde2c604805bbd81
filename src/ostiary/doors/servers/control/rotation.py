"""Rotating an authority without a failed login: a second key is trusted, then it signs, then the first is retired.

``begin`` lets hosts (for use host: clients) believe two keys. ``sign`` waits until every active server has said that its
sshd believes the new one. ``finish`` waits until nothing that the old one signed is good any more, and every server still
believes the new one, or for use host shows a certificate by it; then the old private half is forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select, update

from ostiary.doors.servers.control import authorities, projects
from ostiary.doors.servers.control.authorities import (
    BREAK_GLASS,
    HOST,
    RETIRED,
    SIGNING,
    TRUSTED,
    USER,
    X509,
    Authorities,
    Authority,
)
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.projects import Project
from ostiary.doors.servers.control.secret import new_id
from ostiary.doors.servers.control.tables import authorities as table
from ostiary.doors.servers.control.tables import servers
from ostiary.doors.servers.wire.admin import Rotation
from ostiary.doors.servers.wire.host import HOST_MARK
from ostiary.errors import Conflict, OstiaryError, UsageError
from ostiary.pki import ssh_key, validators

DRAIN = validators.LONGEST + validators.SKEW  # seconds that what was signed may be good yet
_NAMED = 5  # servers that an error names
_USES = (USER, HOST, X509, BREAK_GLASS)


def live(connection: Connection, project_id: str, use: str) -> list[Authority]:
    """Those of a use that are trusted or sign, the oldest first."""
    known = authorities.of_project(connection, project_id)
    return [one for one in known if one.use == use and one.state != RETIRED]


def prepare(
    held: Authorities, project_name: str, asked: Rotation, known: Sequence[Authority]
) -> Authority | None:
    """The new authority of a step ``begin``; before ``sign``, whether KMS signs yet with the newest of those ``known``.

    It may ask KMS, so this is done outside any transaction.

    A host authority stays out of KMS: it signs inside the writer's transaction, and who waits for KMS there would hold up
    every certificate of the project.
    """
    if asked.use not in _USES or asked.step not in ("begin", "sign", "finish"):
        raise _bad(f"{asked.step[:40]!r} of {asked.use[:40]!r} is no step of a rotation")
    if bool(asked.public_key) != (asked.use == BREAK_GLASS and asked.step == "begin"):
        raise _bad("a public key is given to begin with a break-glass authority, and only then")
    if asked.kms_key and (asked.step != "begin" or asked.use == BREAK_GLASS):
        raise _bad("a KMS key is given to begin with an authority that signs here, and only then")
    if asked.kms_key and asked.use == HOST:
        raise _bad(
            "certificates of hosts are signed while the database is locked, and that must not wait for KMS",
            f"leave it with the control plane: {_beginning(project_name, HOST)}",
        )
    if asked.step == "sign" and known:
        held.check(known[-1])
    if asked.step != "begin":
        return None
    if asked.use != BREAK_GLASS:
        return held.make(asked.use, asked.kms_key, TRUSTED)
    try:
        public = ssh_key.parse(asked.public_key)
    except OstiaryError as error:
        raise _bad(f"the public key cannot be read: {error.why}") from error
    return Authority(new_id("ca"), BREAK_GLASS, TRUSTED, public.text(), "")


def step(
    connection: Connection,
    ledger: Ledger,
    project: Project,
    asked: Rotation,
    made: Authority | None,
) -> None:
    """Do one step, ``made`` by ``prepare``. Conflict where it is not its turn, with the servers that are waited for."""
    projects.expect_kept(connection, project)
    known = live(connection, project.id, asked.use)
    if made is not None:
        _begin(connection, ledger, project, known, made)
    elif asked.step == "sign":
        _sign(connection, ledger, project, known)
    else:
        if len(known) == 1:
            raise _not_now(
                project, asked.use, "none has begun: there is one authority, and it stays"
            )
        _finish(connection, ledger, project, known)
    projects.changed(connection, project.id)


def _begin(
    connection: Connection,
    ledger: Ledger,
    project: Project,
    live: list[Authority],
    made: Authority,
) -> None:
    if len(live) > 1:
        raise _not_now(project, made.use, "one has begun and is not finished")
    if any(one.public_key == made.public_key for one in live):
        raise _not_now(project, made.use, "it is the key that is trusted already")
    later = max(
        [ledger.now, *(one.created + 1 for one in live)]
    )  # their order is that of their making
    authorities.keep(connection, ledger, project.id, replace(made, created=later))
    if not live and made.use != BREAK_GLASS:  # the first of its use: there is nothing to wait for
        _become(connection, ledger, project.id, made, SIGNING)


def _sign(connection: Connection, ledger: Ledger, project: Project, live: list[Authority]) -> None:
    if len(live) != 2 or live[1].state != TRUSTED or live[0].use == BREAK_GLASS:  # noqa: PLR2004 - an old and a new one
        raise _not_now(
            project, live[0].use if live else "", "none has begun, or the new one signs already"
        )
    old, new = live
    if old.use == USER:
        _all(connection, project, ledger.now, new)
    _become(connection, ledger, project.id, new, SIGNING)
    _become(connection, ledger, project.id, old, TRUSTED)


def _finish(
    connection: Connection, ledger: Ledger, project: Project, live: list[Authority]
) -> None:
    if len(live) != 2 or (live[1].state != SIGNING and live[1].use != BREAK_GLASS):  # noqa: PLR2004 - an old and a new one
        raise _not_now(project, live[0].use if live else "", "the new authority does not sign yet")
    old, new = live
    left = new.changed + DRAIN - ledger.now
    if left > 0 and new.use != HOST:
        raise _not_now(
            project, new.use, f"what the old one signed may be good for {left:.0f} s yet"
        )
    if new.use != X509:
        _all(connection, project, ledger.now, new)
    _become(connection, ledger, project.id, old, RETIRED)
    connection.execute(update(table).where(table.c.id == old.id).values(private=None))


_LACK = {
    USER: "the new authority is not believed yet by",
    BREAK_GLASS: "the new authority is not believed yet by",
    HOST: "no certificate by the new authority is shown yet by",
}


def _all(connection: Connection, project: Project, now: float, new: Authority) -> None:
    """Conflict unless the last report of every active server has acknowledged ``new``."""
    waited = list(_without(connection, project.id, new))
    if not waited:
        return
    names = ", ".join(f"{name} (seen {now - seen:.0f} s ago)" for name, seen in waited[:_NAMED])
    more = f" and {len(waited) - _NAMED} more" if len(waited) > _NAMED else ""
    raise _not_now(
        project,
        new.use,
        f"{_LACK[new.use]} {names}{more}",
        "an agent says so within a minute; see which is gone:"
        f" ostiary servers inventory --project {project.name}",
    )


def _without(
    connection: Connection, project_id: str, new: Authority
) -> Iterator[tuple[str, float]]:
    """Name and last sign of life of the active servers that have not acknowledged."""
    fingerprint = ssh_key.parse(new.public_key).fingerprint
    needed = f"{HOST_MARK}{fingerprint}" if new.use == HOST else fingerprint
    query = (
        select(servers.c.name, servers.c.last_seen, servers.c.report)
        .where(servers.c.project_id == project_id, servers.c.state == "active")
        .order_by(servers.c.name)
    )
    for row in connection.execute(query):
        if needed not in _trusted_by(row.report):
            yield row.name, row.last_seen


def _trusted_by(report: str) -> list[Any]:
    found = json.loads(report or "{}").get("trusted", [])
    return found if isinstance(found, list) else []


def _become(
    connection: Connection, ledger: Ledger, project_id: str, one: Authority, state: str
) -> None:
    connection.execute(
        update(table).where(table.c.id == one.id).values(state=state, changed=ledger.now)
    )
    body = {"authority": one.id, "use": one.use, "public_key": one.public_key}
    ledger.append(project_id, f"authority.{state}", body)


def _not_now(project: Project, use: str, why: str, fix: str = "") -> Conflict:
    return Conflict(
        f"cannot go on with the rotation of the {use} authority",
        why=why,
        fix=fix or f"see where it stands: ostiary servers project show {project.name}",
        code="rotation",
    )


def _beginning(project_name: str, use: str) -> str:
    return f"ostiary servers project rotate {project_name} --use {use} --step begin"


def _bad(why: str, fix: str = "") -> UsageError:
    return UsageError("cannot rotate an authority", why=why, fix=fix, code="bad-request")
