"""What a kill between two files of useradd left: our lines that one file has and its other half has not. Pure.

useradd writes passwd, shadow, group and gshadow one after the other (shadow 4.13), so a kill can leave a user without his
line in shadow. pwconv would mend the lines of others too; these commands name only ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ostiary.doors.servers.agent.accounts_local import NO_PASSWORD, Argv

FILES = ("passwd", "shadow", "group", "gshadow")


def read(etc: Path = Path("/etc")) -> dict[str, str]:
    """The four files by name; one that this system does not have is left out."""
    return {
        name: (etc / name).read_bytes().decode("utf-8", "surrogateescape")
        for name in FILES
        if (etc / name).exists()
    }


def repairs(
    files: Mapping[str, str], users: Iterable[str], closed: Iterable[str], groups: Iterable[str]
) -> list[Argv]:
    """Commands that give our users and groups their missing halves; nothing when none is missing."""
    passwd, shadow, group, gshadow = (_lines(files.get(name, "")) for name in FILES)
    found: list[Argv] = []
    shut = set(closed)
    for name in sorted({*users, *shut}):
        if "shadow" in files and name in passwd and name not in shadow:
            state = ("-p", "!", "-e", "1") if name in shut else ("-p", NO_PASSWORD)
            found.append(("usermod", *state, "--", name))
    for name in sorted(groups):
        if "gshadow" not in files or name not in group:
            continue
        members = group[name][3:4]
        if name not in gshadow:
            found.append(("groupmod", "-p", "!", "--", name))
        elif gshadow[name][3:4] != members:
            found.append(("gpasswd", "-M", *members, "--", name))
    return found


def _lines(text: str) -> dict[str, list[str]]:
    # As accounts_lookup.local_names: somebody's comment is no line.
    return {line.partition(":")[0]: line.split(":") for line in text.split("\n") if line}
