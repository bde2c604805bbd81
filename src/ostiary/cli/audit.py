"""``ostiary audit``: the audit of server access, exported, verified, reconciled; one command a file."""

from __future__ import annotations

import click

from ostiary.cli import CommandTable

AUDIT = {
    "export": ("audit_export:export", "Take rows away, into a file or a bucket that locks them"),
    "reconcile": (
        "audit_reconcile:reconcile",
        "Compare what hosts let in with what was issued",
    ),
    "verify": ("audit_verify:verify", "Prove that exported rows are whole; needs no network"),
}


@click.group(cls=CommandTable, table=AUDIT)
def audit() -> None:
    """The audit of server access: take it away, and judge it there."""
