"""Whom the host's own sudoers name: a line for ``azureuser`` may wait for somebody whom Okta calls so.

Source: sudoers(5), cvtsudoers(1), which reads what is included and resolves aliases.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from ostiary.doors.servers.agent.files import HostError
from ostiary.doors.servers.agent.run import run
from ostiary.doors.servers.wire.host import HostUser

SUDOERS = Path("/etc/sudoers")


def named(users: Iterable[HostUser], sudoers: Path = SUDOERS) -> Mapping[str, str]:
    """Those of ``users`` whom a rule names, or the group of their own; the words that do. Ours are of numbers, not of names.

    HostError where the rules cannot be read.
    """
    logins = {user.login for user in users}
    if not logins or not sudoers.exists():
        return {}
    try:
        specs = json.loads(run("cvtsudoers", "-e", "-f", "json", str(sudoers))).get(
            "User_Specs", ()
        )
        found = {}
        for one in (one for spec in specs for one in spec["User_List"]):
            for kind, mark in (("username", ""), ("usergroup", "%")):
                name = one.get(kind)
                if name in logins and not one.get("negated"):
                    found[name] = mark + name
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HostError(f"cannot read what cvtsudoers says of {sudoers}: {error}") from error
    return found
