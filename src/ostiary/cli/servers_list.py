"""``ostiary servers list``: the servers that the person who is signed in may enter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import json_option
from ostiary.cli.servers_control import ago, open_control
from ostiary.errors import OstiaryError

if TYPE_CHECKING:
    from ostiary.doors.servers.wire.person import ServerEntry

HEADINGS = ("name", "project", "may", "through", "labels", "seen", "id")


@click.command("list")
@click.argument("pattern", required=False, default="", metavar="[PATTERN]")
@json_option
def list_(*, pattern: str, as_json: bool) -> None:
    """Servers that you may enter, those most like PATTERN first: letters of a name, project or label."""
    from ostiary.doors.servers.client import pick  # noqa: PLC0415

    found = pick.matching(servers_of(), pattern, every=True)
    if as_json:
        term.result_json({"servers": [asdict(one) for one in found]})
    elif found:
        term.result(term.table(HEADINGS, rows(found)))
    else:
        none = (
            "no server is here for you: none has enrolled yet, or no rule lets you in "
            "(ask an owner of its project)"
        )
        term.say(f"no server of yours is like {pattern}" if pattern else none)


def servers_of() -> tuple[ServerEntry, ...]:
    """Every server that the caller may enter, or hop through; what is shown here, ssh knows.

    One whose name or id means more than a name to ``ssh`` is left out, and said to be.
    """
    from ostiary.doors.servers.client import place, talk  # noqa: PLC0415
    from ostiary.doors.servers.client.listed import is_plain  # noqa: PLC0415
    from ostiary.doors.servers.wire.person import Servers  # noqa: PLC0415

    found = open_control().call("GET", "/v1/servers", kind=Servers).servers
    try:
        talk.ask(place.run_folder(), "servers")
    except OstiaryError as unread:
        if unread.code != "not-signed-in":  # as in a pipeline, which has no resident agent
            term.say(f"ssh may not know all of them yet: {unread.what}: {unread.why}")
    if odd := [one for one in found if not is_plain(one)]:
        names = term.counted(len(odd), "server")
        term.say(f"left out: {names} whose name, id or address ssh would take for more than that")
    return tuple(filter(is_plain, found))


def rows(found: Sequence[ServerEntry]) -> list[tuple[str, ...]]:
    return [
        (
            one.name,
            one.project,
            ",".join(one.may) or "-",
            one.bastion or "-",
            ",".join(f"{key}={value}" for key, value in sorted(one.labels.items())) or "-",
            ago(one.last_seen),
            one.server_id,
        )
        for one in found
    ]
