"""Audits of a project as files: rows made by the product's own chain, checkpoints by a real key."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ostiary.doors.servers.audit import checkpoint, segment
from ostiary.doors.servers.control.chain import START_HEAD, Head, link
from ostiary.doors.servers.wire.admin import AuditRow
from ostiary.pki.signer import LocalSigner

PROJECT = "prj_aaaaaaaaaaaaaaaa"
NOW = 1_800_000_000.0


def new_signer() -> LocalSigner:
    return LocalSigner(Ed25519PrivateKey.generate())


def rows_of(bodies, start: Head = START_HEAD, project: str = PROJECT, step: float = 1.0):
    """Rows ``(event, body)`` in a chain after ``start``."""
    head, rows = start, []
    for number, (event, body) in enumerate(bodies):
        row = link(head, project, event, body, NOW + number * step)
        head = Head(row.number, row.hash)
        rows.append(AuditRow(row.project_id, row.number, row.time, row.event, row.body, row.hash))
    return rows


def plain(count: int, **options):
    return rows_of([("x", {"n": n, "who": "Zoë"}) for n in range(count)], **options)


def write(path, rows, start: Head = START_HEAD, project: str = PROJECT):
    path.write_bytes(segment.beginning(project, start) + segment.lines(rows))
    return path


def sign(signer, row, project: str = PROJECT):
    return checkpoint.signed(signer, project, Head(row.number, row.hash), row.time)
