"""``ostiary servers status``: how the control plane is."""

from __future__ import annotations

from dataclasses import asdict

import click

from ostiary import term
from ostiary.cli.options import json_option
from ostiary.cli.servers_control import ago, open_control
from ostiary.errors import Unreachable


@click.command()
@json_option
def status(*, as_json: bool) -> None:
    """How the control plane is: its version, how fresh what it knows of Okta is, its problems.

    Exit code 8 while it has a problem: also one that does not keep certificates from being signed yet.
    """
    from ostiary.doors.servers.wire.admin import Status  # noqa: PLC0415

    control = open_control()
    found = control.call("GET", "/v1/status", kind=Status)
    if as_json:
        term.result_json({"control": control.url, **asdict(found)})
    else:
        term.result(f"{control.url}: ostiary {found.version} on {found.database}")
        read = f"last read: {ago(found.okta_read)}" if found.okta_read else "its log is not read"
        every = f", every {found.okta_interval:.0f} s" if found.okta_interval else ""
        term.result(f"Okta: {read}{every}")
    if found.problems:
        raise Unreachable(
            "the control plane has problems",
            why="\n".join(found.problems),
            fix="look at what ostiary serve says",
        )
