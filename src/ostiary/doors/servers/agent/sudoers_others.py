"""Whom the host's own sudoers name: a line for ``azureuser`` may wait for somebody whom Okta calls so.

Source: sudoers(5), cvtsudoers(1), which reads what is included and resolves aliases.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from ostiary.doors.servers.agent.files import HostError
from ostiary.doors.servers.agent.run import PATH, run
from ostiary.doors.servers.wire.host import HostUser

SUDOERS = Path("/etc/sudoers")
_MARKS = {"username": "", "usergroup": "%", "nonunixgroup": "%:", "usergid": "%#"}


def named(users: Iterable[HostUser], sudoers: Path = SUDOERS) -> Mapping[str, str]:
    """Those of ``users`` whom a rule names, or the group of their own; the words that do. Ours are of numbers of users.

    All rules are read at once, whoever asks: sudo itself would have to be run for each. HostError where they cannot be read.
    """
    whose = {(kind, word): user.login for user in users for kind, word in _words(user)}
    if not whose or not sudoers.exists() or not shutil.which("sudo", path=PATH):
        return {}
    try:
        specs = json.loads(run("cvtsudoers", "-e", "-f", "json", str(sudoers))).get(
            "User_Specs", ()
        )
        found = {}
        for one in (one for spec in specs for one in spec["User_List"]):
            for kind, mark in _MARKS.items():
                word = str(one.get(kind, "ALL"))
                login = whose.get((kind, word.lower()))  # sudo reads AzureUser as azureuser, too
                if login and word != "ALL" and not one.get("negated"):
                    found[login] = mark + word
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HostError(f"cannot read what cvtsudoers says of {sudoers}: {error}") from error
    return found


def _words(user: HostUser) -> Iterable[tuple[str, str]]:
    """How rules may call a user or the group of his own, by the kind of the word."""
    return ((kind, str(user.gid) if kind == "usergid" else user.login) for kind in _MARKS)
