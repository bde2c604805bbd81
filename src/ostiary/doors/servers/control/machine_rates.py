"""How many certificates an hour each machine may have: counted where they are written down, by whatever process."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select

from ostiary.doors.servers.control.certificate_made import BEFORE, LIFE
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.statement import Statement
from ostiary.doors.servers.control.tables import OF_MACHINES, certificates
from ostiary.doors.servers.wire.admin import Machine
from ostiary.errors import Throttled

HOUR = 3600.0
_TAKEN = Statement(
    select(func.count())
    .select_from(certificates)
    .where(
        OF_MACHINES,
        certificates.c.person_id == bindparam("machine"),
        certificates.c.expires > bindparam("since"),
    )
)


def check(connection: Connection, ledger: Ledger, machine: Machine, person_id: str) -> None:
    """Throttled when the machine, ``person_id`` among people, has had its certificates of this hour.

    Exact where the chain of its project is held, as it is when a certificate is written down.
    """
    since = ledger.now - HOUR - BEFORE + LIFE
    (written,) = _TAKEN.run(connection, {"machine": person_id, "since": since}).fetchone()
    beside = sum(row["person_id"] == person_id for row in ledger.beside.get(certificates, ()))
    if written + beside >= machine.rate:
        raise Throttled(
            f"cannot issue more to machine {machine.name}",
            why=f"it may have {machine.rate} certificates an hour",
            fix="ask later, or for a higher rate",
            code="machine-rate",
        )
