"""Group rules that bring the people of one source group into its role groups, in chunks.

Okta allows a rule 100 target groups and never lets them change (Okta help, "Group rules"), so a rule is a chunk
that is made once and replaced by another. Which targets share a chunk is remembered by the rules
that exist: a chunk that is still wholly wanted stays, and a change touches the chunks concerned, no other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

MAX_TARGETS = 100
REFILL_UP_TO = (
    MAX_TARGETS // 2
)  # a fuller chunk is left alone: replacing it would move too many people
MAX_NAME = 50


@dataclass(frozen=True, slots=True)
class Chunk:
    """One rule: its name and the names of its target groups."""

    name: str
    targets: frozenset[str]


def plan_chunks(
    estate_hash: str,
    source: str,
    wanted: Collection[str],
    existing: Iterable[Chunk],
    locked: Collection[str] = frozenset(),
) -> tuple[Chunk, ...]:
    """The rules of one source group, ordered by name.

    ``existing`` are our rules with this very source. The result covers ``wanted`` exactly, names no target
    twice but for rules left by an interrupted replacement, and needs at most twice the fewest rules possible.
    A chunk with a target in ``locked`` is never replaced just to make room.
    """
    left = set(wanted)
    existing = tuple(existing)
    kept: list[Chunk] = []
    for chunk in sorted(existing, key=lambda one: (-len(one.targets), one.name)):
        if chunk.targets and chunk.targets <= set(wanted) and chunk.targets & left:
            kept.append(chunk)
            left -= chunk.targets
    open_ones = [one for one in kept if not one.targets & set(locked)]
    if left and open_ones:
        smallest = min(open_ones, key=lambda one: (len(one.targets), one.name))
        size = len(smallest.targets)
        if size <= REFILL_UP_TO and size + len(left) <= MAX_TARGETS:
            kept.remove(smallest)
            left |= smallest.targets - {name for one in kept for name in one.targets}
    taken = {chunk.name for chunk in existing}
    ordered = sorted(left)
    for start in range(0, len(ordered), MAX_TARGETS):
        targets = frozenset(ordered[start : start + MAX_TARGETS])
        kept.append(Chunk(_free_name(estate_hash, source, targets, taken), targets))
    return tuple(sorted(kept, key=lambda one: one.name))


def fewest(wanted: int) -> int:
    """How many rules so many targets need at least."""
    return -(-wanted // MAX_TARGETS)


def rule_name(estate_hash: str, source: str, targets: Collection[str], salt: str = "") -> str:
    """``ostiary <estate> <source> <targets>``: at most 50 characters, the same for the same content."""
    slug = re.sub(r"[^a-z0-9]+", "-", source.lower()).strip("-")[:16] or "group"
    content = "\n".join([source, *sorted(targets), salt])
    return f"ostiary {estate_hash} {slug} {hashlib.sha256(content.encode()).hexdigest()[:8]}"


def _free_name(
    estate_hash: str, source: str, targets: frozenset[str], taken: Collection[str]
) -> str:
    """A name that no rule bears that is about to be replaced: its targets cannot be changed in place."""
    salt = ""
    while (name := rule_name(estate_hash, source, targets, salt)) in taken:
        salt += "+"
    return name
