"""A configuration of sshd that is not in force yet, as files apart, so that sshd itself can judge it.

The main file is the host's own, with the line that includes drop-ins replaced by one include for each, ours among them.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ostiary.doors.servers.agent import sshd, sshd_text
from ostiary.doors.servers.agent.files import HostError, Paths, folder, write
from ostiary.doors.servers.agent.sshd_text import MANAGED_SETTINGS, Trust

# What may differ for somebody who is not ours, once we are there.
OURS = frozenset({"trustedusercakeys", "authorizedprincipalsfile", "hostcertificate", "loglevel"})
_INCLUDE = re.compile(r"^\s*Include\s+.*sshd_config\.d/\*\.conf.*$", re.IGNORECASE | re.MULTILINE)


@contextmanager
def apart(paths: Paths) -> Iterator[Path]:
    """A folder that sshd takes for safe and every user can pass (StrictModes reads principals as the user)."""
    folder(paths.etc)
    where = paths.etc / "candidate"
    shutil.rmtree(where, ignore_errors=True)
    folder(where)
    try:
        yield where
    finally:
        shutil.rmtree(where, ignore_errors=True)


def build(where: Path, paths: Paths, trust: Trust) -> Path:
    """The candidate's main file."""
    main = main_text(paths)
    config = where / "sshd_config"
    if not sshd_text.includes_drop_ins(main):
        write(config, sshd_text.with_blocks(main, trust))
        return config
    ours = where / paths.drop_in.name
    write(ours, sshd_text.drop_in(trust))
    there = [one for one in sorted(paths.drop_in.parent.glob("*.conf")) if one != paths.drop_in]
    lines = "\n".join(f"Include {one}" for one in sorted([ours, *there], key=lambda one: one.name))
    write(config, _INCLUDE.sub(lambda _: lines, main, count=1))
    return config


def main_text(paths: Paths) -> str:
    try:
        return paths.sshd_config.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"cannot read {paths.sshd_config}: {error}") from error


def changed_for(user: str, before: Path, after: Path) -> list[str]:
    """What would become different for somebody who is not ours, apart from what is meant to."""
    old, new = sshd.effective(before, user), sshd.effective(after, user)
    names = sorted(set(old) | set(new))
    return [
        f"{name} of {user} would become {', '.join(new.get(name, ['unset']))}"
        for name in names
        if name not in OURS and old.get(name) != new.get(name)
    ]


def missing_for(user: str, config: Path, trust: Trust) -> list[str]:
    """What does not hold for a managed user although it must."""
    settings = sshd.effective(config, user)
    wanted = {
        **{name.lower(): value for name, value in MANAGED_SETTINGS.items()},
        "trustedusercakeys": trust.authorities,
        "authorizedprincipalsfile": trust.principals,
        "usepam": "yes",
    }
    return [
        f"{name} of {user} is {' '.join(settings[name])}, not {value}"
        for name, value in wanted.items()
        if name in settings and settings[name] != [value]
    ]
