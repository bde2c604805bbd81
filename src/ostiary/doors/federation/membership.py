"""How people get into role groups: by a group rule from their own group, or one by one.

Rules are the better way: people who join the source group later come in by themselves, without a run of
ours. One by one is left where a rule cannot do it: Okta does not promise that a rule sees members
whom another rule has brought in, and an org may hold only so many rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ostiary.doors.federation.rule_chunks import Chunk, plan_chunks
from ostiary.doors.federation.seen import Notes, OrgSeen
from ostiary.model.estate import Estate
from ostiary.plan.resource import Found, Owner


@dataclass(frozen=True, slots=True)
class Filling:
    """``chunks`` are rules with the name of their source; ``direct``: role group -> sources copied one by one."""

    chunks: tuple[tuple[Chunk, str], ...]
    direct: Mapping[str, frozenset[str]]


def fill(
    estate: Estate,
    org: str,
    known: OrgSeen,
    wanted: Iterable[tuple[str, str, bool]],
    notes: Notes,
) -> Filling:
    """``wanted`` are (role group, source group, whether its console asks for direct membership)."""
    by_rule: dict[str, set[str]] = {}
    direct: dict[str, set[str]] = {}
    for target, source, asked in wanted:
        if asked or known.groups[source].rule_filled:
            direct.setdefault(target, set()).add(source)
            if not asked:
                notes.warn(
                    f"group {source!r} is itself filled by a rule: its people are put into role groups one by one"
                )
        else:
            by_rule.setdefault(source, set()).add(target)
    existing = _existing(known)
    chunks = {
        source: plan_chunks(
            estate.short_hash, source, targets, existing.get(known.groups[source].id, ())
        )
        for source, targets in by_rule.items()
    }
    for source in _over_budget(estate, org, known, chunks, notes):
        for target in by_rule[source]:
            direct.setdefault(target, set()).add(source)
        del chunks[source]
    pairs = ((chunk, source) for source, several in chunks.items() for chunk in several)
    return Filling(
        tuple(sorted(pairs, key=lambda pair: pair[0].name)),
        {target: frozenset(sources) for target, sources in direct.items()},
    )


def _existing(known: OrgSeen) -> dict[str, list[Chunk]]:
    """Our rules by the id of their source group; a rule with a target that is no group of ours is no chunk."""
    ours = [one for one in known.owned if one.owner is Owner.OURS]
    names = {one.ids.get("id", ""): one.key.name for one in ours if one.key.kind == "okta-group"}
    found: dict[str, list[Chunk]] = {}
    for rule in (one for one in ours if one.key.kind == "okta-group-rule"):
        targets = _texts(rule, "targets")
        if all(target in names for target in targets):
            chunk = Chunk(rule.key.name, frozenset(names[target] for target in targets))
        else:
            chunk = Chunk(rule.key.name, frozenset())  # only its name counts: it is taken
        found.setdefault(str(rule.attributes.get("source")), []).append(chunk)
    return found


def _texts(found: Found, name: str) -> list[str]:
    value = found.attributes.get(name)
    return [str(item) for item in value] if isinstance(value, list) else []


def _over_budget(
    estate: Estate,
    org: str,
    known: OrgSeen,
    chunks: Mapping[str, tuple[Chunk, ...]],
    notes: Notes,
) -> list[str]:
    """The sources to do without rules so that the org keeps to its number: the smallest groups first.

    While chunks are being replaced old and new rules exist side by side, hence the room for one more each.
    """
    room = estate.orgs[org].rule_budget - known.foreign_rules
    needed = sum(len(several) for several in chunks.values())
    dropped: list[str] = []
    for source in sorted(chunks, key=lambda name: (len(known.groups[name].members), name)):
        if needed <= room:
            break
        needed -= len(chunks[source])
        dropped.append(source)
    if dropped:
        notes.warn(
            f"Okta org {org} has room for {max(room, 0)} rules of ours: the people of {', '.join(dropped)} are put "
            "into role groups one by one; raise rule_budget if Okta has raised the limit"
        )
    return dropped
