"""How people get into role groups: by a group rule from their own group, or one by one.

Rules are the better way: people who join the source group later come in by themselves, without a run of
ours. One by one is left where a rule cannot do it: Okta does not promise that a rule sees members
whom another rule has brought in, and an org may hold only so many rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ostiary.doors.federation.rule_chunks import Chunk, plan_chunks
from ostiary.doors.federation.seen import GroupSeen, Notes, OrgSeen
from ostiary.model.estate import Estate
from ostiary.plan.change import Plan
from ostiary.plan.resource import Found, Owner


@dataclass(frozen=True, slots=True)
class Filling:
    """``chunks`` are rules with the id of their source group; ``direct``: role group -> sources copied one by one."""

    chunks: tuple[tuple[Chunk, str], ...]
    direct: Mapping[str, frozenset[str]]


def fill(
    estate: Estate,
    org: str,
    known: OrgSeen,
    wanted: Iterable[tuple[str, str, bool]],
    notes: Notes,
    *,
    locked: frozenset[str] = frozenset(),
) -> Filling:
    """``wanted`` are (role group, source group, whether its console asks for direct membership).

    ``locked`` role groups are none of this plan's: what brings people into them now goes on doing so.
    """
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
            by_rule.setdefault(known.groups[source].id, set()).add(target)
    existing = _existing(known)
    for source_id, several in existing.items():
        if staying := locked & _targets(several):
            by_rule.setdefault(source_id, set()).update(staying)
    sources = {group.id: group for group in known.groups.values()}
    chunks = {
        source_id: plan_chunks(
            estate.short_hash,
            sources[source_id].name if source_id in sources else source_id,
            targets,
            existing.get(source_id, ()),
            locked,
        )
        for source_id, targets in by_rule.items()
    }
    room = estate.orgs[org].rule_budget - known.foreign_rules
    for source_id in [] if locked else _over_budget(room, sources, chunks):
        for target in by_rule[source_id]:
            direct.setdefault(target, set()).add(sources[source_id].name)
        del chunks[source_id]
        notes.warn(
            f"Okta org {org} has room for {max(room, 0)} rules of ours: the people of group "
            f"{sources[source_id].name!r} are put into role groups one by one; raise rule_budget if Okta has raised "
            "the limit"
        )
    pairs = ((chunk, source_id) for source_id, several in chunks.items() for chunk in several)
    return Filling(
        tuple(sorted(pairs, key=lambda pair: pair[0].name)),
        {target: frozenset(names) for target, names in direct.items()},
    )


def _targets(chunks: Iterable[Chunk]) -> set[str]:
    return {target for chunk in chunks for target in chunk.targets}


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
    room: int, sources: Mapping[str, GroupSeen], chunks: Mapping[str, tuple[Chunk, ...]]
) -> list[str]:
    """Ids of the sources to do without rules so that there is ``room`` for the rest: the smallest groups first."""
    needed = sum(len(several) for several in chunks.values())
    dropped: list[str] = []
    for source in sorted(chunks, key=lambda one: (len(sources[one].members), sources[one].name)):
        if needed <= room:
            break
        needed -= len(chunks[source])
        dropped.append(source)
    return dropped


def moved(made: Plan) -> dict[str, set[str]]:
    """By org, the ids of the people whom a plan takes out of existing role groups or puts into them."""
    found: dict[str, set[str]] = {}
    for change in made.changes:
        if change.key.kind == "okta-role-group-members" and change.action == "update":
            before, after = ((side or {}).get("members") for side in (change.before, change.after))
            if isinstance(before, list) and isinstance(after, list):
                both = {str(one) for one in before} ^ {str(one) for one in after}
                found.setdefault(change.account, set()).update(both)
    return found
