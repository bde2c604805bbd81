"""Numbers that a user may run processes as beside their own: of rootless containers, by newuidmap(1). Source: subuid(5)."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

ETC = Path("/etc")


def ranges(
    etc: Path = ETC, names: Collection[str] = ("subuid", "subgid")
) -> list[tuple[str, int, int]]:
    """(owner, first, count), each once and by number; an owner is a login, or a UID as text."""
    found = set()
    for name in names:
        try:
            lines = (etc / name).read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            parts = line.split(":")
            if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():  # noqa: PLR2004 - owner, first, count
                found.add((parts[0], int(parts[1]), int(parts[2])))
    return sorted(found, key=lambda one: one[1:])


def of(owners: Collection[str], etc: Path = ETC) -> list[range]:
    """The UIDs that are lent to these."""
    lent = ranges(etc, ("subuid",))
    return [range(first, first + count) for owner, first, count in lent if owner in owners]
