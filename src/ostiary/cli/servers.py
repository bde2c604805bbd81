"""``ostiary servers``: what is entered by ssh, one command a file."""

from __future__ import annotations

import click

from ostiary.cli import CommandTable

SERVERS = {
    "list": ("servers_list:list_", "Servers that you may enter"),
    "certificate": (
        "servers_certificate:certificate",
        "A client certificate for TLS to a server: curl, psql",
    ),
    "project": ("servers_project:project", "Projects: make, show, rotate their authorities"),
    "token": ("servers_token:token", "Enrollment tokens of a project"),
    "preauthorization": (
        "servers_preauthorization:preauthorization",
        "Let somebody's rules count for some hours, where a project requires it",
    ),
    "inventory": ("servers_inventory:inventory", "Every enrolled server as administrators see it"),
    "retire": ("servers_inventory:retire", "Let a server go: no certificate for it any more"),
    "release": ("servers_inventory:release", "Take a server out of quarantine"),
    "breakglass": (
        "servers_breakglass:breakglass",
        "The second authority, for when everything else is down",
    ),
    "status": ("servers_status:status", "How the control plane is"),
    "device": ("servers_device:device", "Devices that people signed in from"),
}


@click.group(cls=CommandTable, table=SERVERS)
def servers() -> None:
    """Enter servers by ssh with certificates of three minutes, and keep who may.

    Who may do what is in the estate file; ostiary apply brings projects in line with it.
    """
