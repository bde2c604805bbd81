"""``ostiary servers certificate``: an X.509 certificate of three minutes, in files, for other clients than ssh."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import json_option, not_empty

if TYPE_CHECKING:
    from ostiary.doors.servers.client.tls_client import TlsClient


@click.command()
@click.argument("host", metavar="HOST")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Where key.pem, certificate.pem and authority.pem go.",
)
@click.option(
    "--project", default="", metavar="NAME", callback=not_empty, help="Where several have a HOST."
)
@json_option
def certificate(*, host: str, out: Path, project: str, as_json: bool) -> None:
    """Get an X.509 client certificate for TLS to a server: for curl, psql and whatever takes files.

    HOST is the name or id of a server that you may enter. The key is made here and new each time; only its
    certificate is signed by the project's X.509 authority, for you, HOST and two minutes from now. What is in FOLDER
    from the time before is replaced; a file that this command did not write is not.
    """
    from ostiary.doors.servers.client import pem_files, tls_client  # noqa: PLC0415

    with pem_files.prepared(out):
        made = tls_client.ask(host, project)
        pem_files.write(out, *made.texts)
    _tell(made, out, as_json=as_json)


def _tell(made: TlsClient, folder: Path, *, as_json: bool) -> None:
    from ostiary.doors.servers.client.pem_files import AUTHORITY, CERTIFICATE, KEY  # noqa: PLC0415

    server, ends = made.issued.server, made.leaf.not_valid_after_utc
    if as_json:
        term.result_json(
            {
                "server": server.name,
                "server_id": server.server_id,
                "project": server.project,
                "login": made.issued.login,
                "name": made.name,
                "serial": made.issued.serial,
                "begins": made.leaf.not_valid_before_utc.timestamp(),
                "expires": ends.timestamp(),
                "key": str(folder / KEY),
                "certificate": str(folder / CERTIFICATE),
                "authority": str(folder / AUTHORITY),
            }
        )
        return
    left = (ends - datetime.now(UTC)).total_seconds()
    until = f"until {ends.astimezone():%H:%M:%S} ({left:.0f} s)"
    term.result(f"{made.name}, for {server.name} of {server.project}, good {until}")
    host = f"[{server.address}]" if ":" in server.address else server.address
    use = ("curl", "--cert", folder / CERTIFICATE, "--key", folder / KEY, f"https://{host}/")
    term.say(f"use it: {shlex.join(map(str, use))}")
    if server.bastion:
        term.say(f"{server.address} is reached from {server.bastion}, the bastion of {server.name}")
    term.say(
        f"what the service there has to trust: {folder / AUTHORITY}, for names of {server.server_id}"
    )
