"""``ostiary servers breakglass``: the second authority of a project, for when everything else is down."""

from __future__ import annotations

import click

from ostiary.cli import CommandTable

BREAK_GLASS = {
    "make": ("servers_breakglass_make:make", "Make an authority in shares, and trust it"),
    "register": ("servers_breakglass_make:register", "Trust an authority that was made before"),
    "retire": ("servers_breakglass_make:retire", "Trust the older of two authorities no more"),
    "sign": ("servers_breakglass_sign:sign", "Sign a way in with shares; needs no network"),
    "drill": ("servers_breakglass_drill:drill", "Enter a server so, and see the audit tell of it"),
    "submit": ("servers_breakglass_sign:submit", "Bring slips into the audit of the project"),
}


@click.group(cls=CommandTable, table=BREAK_GLASS)
def breakglass() -> None:
    """Enter servers while control plane, database, Okta and KMS are down.

    The authority's private half exists only as shares; a number of them together sign, offline.
    """
