"""Certificates of hosts: signed by the project's host authority, for the server's id first and then its name."""

from __future__ import annotations

from sqlalchemy import Connection, update

from ostiary.doors.servers.control import authorities, inventory, second_library
from ostiary.doors.servers.control.authorities import HOST, Authorities
from ostiary.doors.servers.control.inventory import Server
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.secret import new_serial
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.control.tables import servers
from ostiary.doors.servers.control.view import View
from ostiary.errors import UsageError
from ostiary.pki import ssh_certificate, ssh_key, validators
from ostiary.pki.judgement import Request, first_refusal
from ostiary.pki.signer import Signer
from ostiary.pki.ssh_certificate import Certificate

LIFE = 30 * 86400  # seconds, of which the last third is for renewal
BEFORE = 60
RENEW = LIFE // 3


def signer(known: Authorities, view: View) -> Signer:
    return known.signer(authorities.signing(view.authorities, HOST))


def renew_if_due(services: Services, server: Server, view: View) -> bool:
    """A new certificate when there is none, or only a third of its life is left, or its authority no longer signs.

    Whether there is a new one.
    """
    authority = authorities.signing(view.authorities, HOST)
    if not _is_due(server, authority.public_key, services.clock()):
        return False
    known = services.authorities.signer(authority)
    services.writer.write(
        [server.project_id],
        lambda connection, ledger: renew(connection, ledger, server, known),
    )
    return True


def renew(connection: Connection, ledger: Ledger, server: Server, by: Signer) -> None:
    """Sign and keep. UsageError when our rules forbid such a certificate."""
    now = int(ledger.now)
    serial = new_serial()
    unsigned = Certificate(
        key=ssh_key.parse(server.host_key),
        key_id=f"{server.id} {server.name}",
        principals=(server.id, server.name),
        kind=ssh_certificate.HOST,
        serial=serial,
        valid_after=now - BEFORE,
        valid_before=now - BEFORE + LIFE,
    )
    judges = validators.for_host([server.name])
    refusal = first_refusal(judges, Request(unsigned, server.id, now))
    if refusal is not None:
        what = f"cannot certify the host key of {server.name}"
        raise UsageError(what, why=refusal.why, code=f"bad-{refusal.code}")
    text = ssh_certificate.to_text(ssh_certificate.sign(unsigned, by, second_library.verify))
    values = {"host_certificate": text, "renewals": servers.c.renewals + 1}
    connection.execute(update(servers).where(servers.c.id == server.id).values(**values))
    told = {"server": server.id, "serial": str(serial), "valid_before": unsigned.valid_before}
    ledger.append(server.project_id, "host-certificate.issued", told)


def _is_due(server: Server, authority: str, now: float) -> bool:
    if server.state != inventory.ACTIVE:
        return False
    if not server.host_certificate:
        return True
    held = ssh_certificate.parse(server.host_certificate)
    signed_by = held.authority.text() if held.authority else ""
    return held.valid_before - now < RENEW or signed_by != authority
