"""Slips of break-glass: what was signed without us, written into the audit as it stands in the certificates themselves.

A slip is believed for nothing but the signatures in it: every certificate must be of a break-glass authority that the
project trusts or trusted, and must say the reason that the slip says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from ostiary.doors.servers.breakglass.certificate import BREAK_GLASS, reason_of
from ostiary.doors.servers.control import authorities
from ostiary.doors.servers.control.authorities import Authority
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.tables import audit, certificates
from ostiary.doors.servers.wire.admin import Slip
from ostiary.errors import Conflict, OstiaryError, UsageError
from ostiary.pki import ssh_certificate
from ostiary.pki.ssh_certificate import USER, Certificate
from ostiary.pki.validators import MOST_SERIAL

EVENT = "break-glass.signed"
MOST = 100  # certificates in one slip


@dataclass(frozen=True, slots=True)
class Told:
    """A certificate of a slip, judged. ``digest`` is the SHA-256 of its blob."""

    certificate: Certificate
    authority: Authority
    digest: str


def judge(connection: Connection, project_id: str, slip: Slip) -> tuple[Told, ...]:
    """What the slip says, if all of it is true. UsageError with what is not."""
    if not 1 <= len(slip.certificates) <= MOST:
        raise _refused(f"it has {len(slip.certificates)} certificates; 1 to {MOST} are taken")
    trusted = {
        one.public_key: one
        for one in authorities.of_project(connection, project_id)
        if one.use == BREAK_GLASS
    }
    told = tuple(_judged(text, slip.reason, trusted) for text in slip.certificates)
    if len({one.certificate.serial for one in told}) != len({one.digest for one in told}):
        raise _refused("two certificates in it have one serial")
    return told


def write_down(
    connection: Connection, ledger: Ledger, project_id: str, told: Sequence[Told], by: str
) -> None:
    """One row for each certificate that is not in the audit yet. Conflict where its serial is another one's."""
    for one in {one.digest: one for one in told}.values():
        serial = one.certificate.serial
        known = connection.execute(
            select(certificates).where(certificates.c.serial == serial)
        ).one_or_none()
        if known is None:
            _add(ledger, project_id, one, by)
        elif _digest_in(connection, known.project_id, known.number) != one.digest:
            raise Conflict(
                f"cannot take the slip for serial {serial}",
                why="another certificate has that serial",
                fix="tell whoever is responsible for security: serials are random and never meet",
                code="serial",
            )


def _judged(text: str, reason: str, trusted: dict[str, Authority]) -> Told:
    try:
        certificate = ssh_certificate.parse(text)
        ssh_certificate.verify(certificate)
    except OstiaryError as error:
        raise _refused(f"a certificate in it is no good: {error.why}") from error
    assert certificate.authority is not None, "it was verified"
    authority = trusted.get(certificate.authority.text())
    if authority is None:
        raise _refused(f"{certificate.authority.fingerprint} is no break-glass authority of it")
    if certificate.kind != USER or len(certificate.principals) != 1:
        raise _refused(f"certificate {certificate.serial} is not for one login on one server")
    if not 1 <= certificate.serial <= MOST_SERIAL:
        raise _refused(f"serial {certificate.serial} is not of 1 to 63 bits")
    if not reason or reason_of(certificate) != reason:
        raise _refused(f"the reason is not the one that certificate {certificate.serial} says")
    digest = hashlib.sha256(ssh_certificate.encode(certificate)).hexdigest()
    return Told(certificate, authority, digest)


def _add(ledger: Ledger, project_id: str, one: Told, by: str) -> None:
    made = one.certificate
    login, _, server_id = made.principals[0].partition("@")
    server_id = server_id.removesuffix(".hop")
    body = {
        "serial": str(made.serial),
        "principal": made.principals[0],
        "login": login,
        "server": server_id,
        "key": made.key.fingerprint,
        "valid_after": made.valid_after,
        "valid_before": made.valid_before,
        "options": [name for name, _ in (*made.critical_options, *made.extensions)],
        "authority": one.authority.id,
        "reason": reason_of(made),
        "digest": one.digest,
        "submitted_by": by,
    }
    row = {
        "serial": made.serial,
        "project_id": project_id,
        "server_id": server_id[:40],
        "person_id": BREAK_GLASS,
        "number": ledger.append(project_id, EVENT, body),
        "expires": float(min(made.valid_before, 2**53)),
        "met": "",
    }
    ledger.insert(certificates, row)


def _digest_in(connection: Connection, project_id: str, number: int) -> str:
    """The digest that an audit row of ours says, "" where the row is of another kind."""
    row = connection.execute(
        select(audit.c.event, audit.c.body).where(
            audit.c.project_id == project_id, audit.c.number == number
        )
    ).one_or_none()
    return str(json.loads(row.body).get("digest", "")) if row and row.event == EVENT else ""


def _refused(why: str) -> UsageError:
    return UsageError(
        "cannot take this slip", why=why, fix="submit what break-glass sign wrote", code="bad-slip"
    )
