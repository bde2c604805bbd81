"""``ostiary servers device``: what people signed in from."""

from __future__ import annotations

from dataclasses import asdict
from urllib.parse import quote

import click

from ostiary import term
from ostiary.cli.options import confirm, json_option
from ostiary.cli.servers_control import moment, open_control
from ostiary.errors import NotFound


@click.group()
def device() -> None:
    """Devices that sessions are bound to: your own, or everybody's for an administrator."""


@device.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """Devices with who signed in from them, and when."""
    from ostiary.doors.servers.wire.admin import Devices  # noqa: PLC0415

    found = open_control().call("GET", "/v1/devices", kind=Devices).devices
    if as_json:
        term.result_json({"devices": [asdict(one) for one in found]})
        return
    rows = [
        (one.id, one.person, one.name, one.state, moment(one.first_seen), moment(one.last_seen))
        for one in found
    ]
    if rows:
        headings = ("device", "person", "name", "state", "first seen", "last seen")
        term.result(term.table(headings, rows))
    else:
        term.say("no device is registered")


@device.command()
@click.argument("device_id", metavar="DEVICE_ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
def revoke(*, device_id: str, yes: bool) -> None:
    """Let a device go, with every session on it."""
    from ostiary.doors.servers.wire.admin import Devices  # noqa: PLC0415

    control = open_control()
    listed = control.call("GET", "/v1/devices", kind=Devices).devices
    found = next((one for one in listed if one.id == device_id), None)
    if found is None:
        raise NotFound(
            f"no device of yours has the id {device_id}",
            fix="see them with: ostiary servers device list",
        )
    confirm(f"revoke {found.name} of {found.person} ({device_id}), and end its sessions", yes=yes)
    control.call("DELETE", f"/v1/devices/{quote(device_id, safe='')}")
    term.say(f"device {device_id} is revoked")
