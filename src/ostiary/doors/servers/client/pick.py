"""Which servers a few letters mean."""

from __future__ import annotations

from collections.abc import Iterable

from ostiary.doors.servers.wire.person import NEEDS, ServerEntry

EXACT, BEGINS, HOLDS, BESIDE, SCATTERED = range(5)


def matching(
    servers: Iterable[ServerEntry], pattern: str, *, every: bool = False
) -> list[ServerEntry]:
    """Those most like ``pattern``: of the best rank only or, with ``every``, of all ranks, best first.

    The name or id itself; a name that begins so; that holds it; a project or label that does; a name that has the letters in
    order. Servers that are only for passing through are meant by their exact name alone.
    """
    ranked: dict[int, list[ServerEntry]] = {}
    for one in servers:
        rank = _rank(one, pattern.lower())
        if rank is not None and (every or _is_entered(one) or rank == EXACT):
            ranked.setdefault(rank, []).append(one)
    chosen = sorted(ranked)[: None if every else 1]
    return [
        one for rank in chosen for one in sorted(ranked[rank], key=lambda x: (x.name, x.project))
    ]


def _is_entered(one: ServerEntry) -> bool:
    """Or would be, with a preauthorization: who names it is told so."""
    return "login" in one.may or (NEEDS in one.may and "hop" not in one.may)


def _rank(one: ServerEntry, pattern: str) -> int | None:
    name = one.name.lower()
    if pattern in (name, one.server_id.lower()):
        return EXACT
    if name.startswith(pattern):
        return BEGINS
    if pattern in name:
        return HOLDS
    beside = [one.project, *(f"{key}={value}" for key, value in one.labels.items())]
    if any(pattern in text.lower() for text in beside):
        return BESIDE
    letters = iter(name)
    return SCATTERED if all(letter in letters for letter in pattern) else None
