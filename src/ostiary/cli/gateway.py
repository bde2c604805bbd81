"""``ostiary gateway``: the Access Gateway appliance, one command a file."""

from __future__ import annotations

import click

from ostiary.cli import CommandTable

GATEWAY = {
    "inspect": ("gateway_inspect:inspect", "Judge an appliance file before a byte is uploaded"),
    "import": (
        "gateway_import:import_",
        "Make an AMI of an appliance file, by one of three routes",
    ),
    "cancel": ("gateway_import:cancel", "Stop an import and remove what it left"),
    "deploy": (
        "gateway_deploy:deploy",
        "Import if needed, then instances, addresses, load balancer",
    ),
    "checklist": (
        "gateway_checklist:checklist",
        "What a person does after the deployment, filled in",
    ),
    "destroy": ("gateway_deploy:destroy", "Remove everything of one gateway"),
}


@click.group(cls=CommandTable, table=GATEWAY)
def gateway() -> None:
    """Bring the Okta Access Gateway from its OVA file to a running, reachable appliance in AWS."""
