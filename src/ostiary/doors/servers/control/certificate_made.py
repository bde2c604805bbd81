"""The SSH certificate of one connection: what the rules permit, judged, signed, verified. No I/O but the signer's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ostiary.doors.servers.control.inventory import Server
from ostiary.doors.servers.control.secret import new_serial
from ostiary.doors.servers.wire.person import HOP
from ostiary.errors import UsageError
from ostiary.model.server_access import ServerAccess
from ostiary.pki import ssh_certificate, validators
from ostiary.pki.judgement import Request, first_refusal
from ostiary.pki.ssh_certificate import Certificate
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_option import (
    FORCE_COMMAND,
    REMEMBERED,
    SOURCE_ADDRESS,
    Option,
    Options,
    flag,
    valued,
)

LIFE = 180  # seconds from the beginning of the validity to its end
BEFORE = 60  # of them lie in the past, for hosts whose clock is behind
DOMAIN = "ostiary"
_JUDGES = validators.for_user([DOMAIN])
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One connection to ``server``; ``access`` is to ``target``, which for a hop lies behind it."""

    key: PublicKey
    person: str
    device: str
    project: str
    login: str
    server: Server
    target: Server
    access: ServerAccess
    purpose: str


@dataclass(frozen=True, slots=True)
class Noted:
    """What is written down of a certificate; ``told`` is what the audit says of it."""

    serial: int
    valid_before: int
    told: Mapping[str, Any]


def draft(wanted: Wanted, authority: PublicKey, now: int) -> Certificate:
    """What ``authority`` may sign. UsageError with the judge's name as ``code`` when our rules forbid such a certificate."""
    serial = new_serial()
    scope = f"{wanted.server.id}.hop" if wanted.purpose == HOP else wanted.server.id
    unsigned = Certificate(
        key=wanted.key,
        key_id=f"{_ascii(wanted.person)} {serial}",
        principals=(f"{wanted.login}@{scope}",),
        serial=serial,
        valid_after=now - BEFORE,
        valid_before=now - BEFORE + LIFE,
        critical_options=_critical(wanted),
        extensions=(
            *_permits(wanted),
            *_said(wanted.person, wanted.device, wanted.project, wanted.purpose),
        ),
    )
    prepared = ssh_certificate.prepare(unsigned, authority)
    refusal = first_refusal(_JUDGES, Request(prepared, scope, now))
    if refusal is not None:
        raise UsageError(
            "cannot issue such a certificate", why=refusal.why, code=f"bad-{refusal.code}"
        )
    return prepared


def noted(drafted: Certificate, wanted: Wanted) -> Noted:
    return Noted(drafted.serial, drafted.valid_before, _told(drafted, wanted))


def _permits(wanted: Wanted) -> Options:
    access = wanted.access
    if wanted.purpose == HOP:
        return (flag("permit-port-forwarding"),)
    given = {
        "permit-pty": not access.sftp_only,
        "permit-port-forwarding": bool(access.forward),
        "permit-agent-forwarding": access.agent_forwarding,
        "permit-X11-forwarding": access.x11,
    }
    return tuple([flag(name) for name, permitted in given.items() if permitted])


def _critical(wanted: Wanted) -> Options:
    """The source address of a rule is that of the person: behind a bastion it binds the hop, not what follows it."""
    access, options = wanted.access, list[Option]()
    if access.source_address and (wanted.purpose == HOP or not wanted.server.bastion):
        options.append(valued(SOURCE_ADDRESS, ",".join(access.source_address)))
    if wanted.purpose == HOP:
        return tuple(options)
    command = "internal-sftp" if access.sftp_only else access.force_command
    if command:
        options.append(valued(FORCE_COMMAND, command))
    return tuple(options)


@lru_cache(maxsize=REMEMBERED)
def _said(person: str, device: str, project: str, purpose: str) -> Options:
    """Who, from where, for what: sshd ignores extensions that it does not know, logs and auditors read them."""
    values = {
        "person": _ascii(person),
        "device": device,
        "project": project,
        "purpose": purpose,
    }
    return tuple(valued(f"{name}@{DOMAIN}", value) for name, value in values.items() if value)


def _ascii(text: str) -> str:
    """For sshd's log, which shows other characters as escapes anyway."""
    return _UNPRINTABLE.sub("?", text)[:320]


def _told(made: Certificate, wanted: Wanted) -> Mapping[str, Any]:
    return {
        "serial": str(made.serial),
        "purpose": wanted.purpose,
        "principal": made.principals[0],
        "key": wanted.key.fingerprint,
        "valid_after": made.valid_after,
        "valid_before": made.valid_before,
        "options": [
            name if not data else f"{name}={data[4:].decode(errors='replace')}"
            for name, data in (*made.critical_options, *made.extensions)
        ],
        "behind": wanted.target.id if wanted.purpose == HOP else "",
    }
