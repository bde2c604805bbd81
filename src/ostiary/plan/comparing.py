"""One wanted resource against what was read: the rules of the plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

from ostiary.plan.change import Change, canonical, fingerprint
from ostiary.plan.reading import Readings
from ostiary.plan.refs import collect, fill, shown
from ostiary.plan.resource import Found, Json, Key, Kind, Owner, Ref, Resource, Value


class Comparison:
    """Compare resources in dependency order: what is to be made anew has ids that nobody knows yet."""

    def __init__(
        self, kinds: Mapping[str, Kind], readings: Readings, wanted: Mapping[Key, Resource]
    ) -> None:
        self._kinds = kinds
        self._readings = readings
        self._wanted = wanted
        self._unknown: set[Key] = set()  # ids change with this plan

    def compare(self, resource: Resource) -> Change | None:
        """The change that brings one object in line; None if it is as wanted."""
        found = self._readings.found.get(resource.key)
        why = self._why_unread(resource, found)
        if why:
            self._unknown.add(resource.key)
            return self._change("unread", resource, found, reason=why)
        if found is None:
            self._unknown.add(resource.key)
            return self._change("create", resource, None)
        adopts = resource.adopt and found.owner is Owner.FOREIGN
        differing = self._differing(resource, found)
        if found.owner is Owner.ELSEWHERE:
            return self._snippet(resource, found, differing) if differing else None
        if found.owner is not Owner.OURS and not adopts:
            return self._change("foreign", resource, found, reason=_whose(found))
        if not differing and not adopts:
            return None
        kind = self._kinds[resource.key.kind]
        immutable: frozenset[str] = getattr(kind, "immutable", frozenset())
        if immutable.intersection(differing):
            self._unknown.add(resource.key)
            return self._change("replace", resource, found, differing, reason=_anew(differing))
        reason = "adopts it" if adopts else ""
        return self._change("update", resource, found, differing, reason=reason, adopts=adopts)

    def deletions(self, kinds: Sequence[Kind]) -> list[Change]:
        """What is ours and not wanted: deleted if its reading was complete; last kind first."""
        rank = {kind.name: index for index, kind in enumerate(kinds)}
        surplus = [
            found
            for key, found in self._readings.found.items()
            if found.owner is Owner.OURS and key not in self._wanted
        ]
        surplus.sort(key=lambda found: (-rank[found.key.kind], found.key))
        return [self._deletion(found) for found in surplus]

    def owned(self) -> dict[str, int]:
        """What we own of each kind, in what deleting it all would take away: the guard's caps are shares of this."""
        owned: dict[str, int] = defaultdict(int)
        for found in self._readings.found.values():
            if found.owner is Owner.OURS:
                kind = self._kinds[found.key.kind]
                owned[kind.name] += max(1, kind.detaches("delete", found, None))
        return dict(owned)

    def _why_unread(self, resource: Resource, found: Found | None) -> str:
        if found is None and not self._readings.is_complete(resource.key):
            return self._readings.why(resource.key)
        for _, ref in collect(resource.wanted):
            if ref.key not in self._readings.found and not self._readings.is_complete(ref.key):
                return f"needs {ref.attribute} of {ref.key}, which {self._readings.why(ref.key)}"
        return ""

    def _known(self, ref: Ref) -> str | None:
        found = self._readings.found.get(ref.key)
        if found is None or ref.key in self._unknown:
            return None
        return found.ids.get(ref.attribute)

    def _differing(self, resource: Resource, found: Found) -> tuple[str, ...]:
        wanted: dict[str, Json] = {}
        unknown = []
        for name, value in resource.wanted.items():
            filled = fill(value, self._known)
            if next(collect(filled), None) is None:
                wanted[name] = cast("Json", filled)
            else:  # whatever it will be, it is not what is there now
                unknown.append(name)
                if name in found.attributes:
                    wanted[name] = found.attributes[name]
        kind = self._kinds[resource.key.kind]
        return (*kind.differences(found, wanted), *unknown)

    def _change(
        self,
        action: str,
        resource: Resource,
        found: Found | None,
        differing: tuple[str, ...] = (),
        *,
        reason: str = "",
        adopts: bool = False,
        snippet: str = "",
    ) -> Change:
        filled = {name: fill(value, self._known) for name, value in resource.wanted.items()}
        refs = dict(collect(resource.wanted))
        needs = resource.after | {ref.key for ref in refs.values()}
        change = Change(
            action=action,
            key=resource.key,
            before=found.attributes if found else None,
            after=cast("dict[str, Json]", shown(filled)),
            differing=differing,
            refs=refs,
            depends_on=tuple(sorted(needs)),
            reason=reason,
            fingerprint=fingerprint(found),
            owner=found.owner if found else None,
            protected=found.protected if found else False,
            adopts=adopts,
            snippet=snippet,
        )
        return self._graded(change, found, filled) if change.writes else change

    def _deletion(self, found: Found) -> Change:
        if not self._readings.is_complete(found.key):
            why = f"would be deleted, but its scope {self._readings.why(found.key)}"
            return Change("unread", found.key, found.attributes, reason=why, owner=found.owner)
        if others := self._needed_by(found):
            why = f"no longer wanted, but {others}; take that out, or our mark off it"
            return Change("foreign", found.key, found.attributes, reason=why, owner=found.owner)
        change = Change(
            action="delete",
            key=found.key,
            before=found.attributes,
            reason="no longer wanted",
            fingerprint=fingerprint(found),
            owner=found.owner,
            protected=found.protected,
        )
        return self._graded(change, found, None)

    def _needed_by(self, found: Found) -> str:
        """Who else needs an object of ours, if its kind can tell; it is then left alone."""
        ask = getattr(self._kinds[found.key.kind], "needed_by", None)
        return ask(found) if ask else ""

    def _graded(
        self, change: Change, found: Found | None, wanted: Mapping[str, Value] | None
    ) -> Change:
        kind = self._kinds[change.key.kind]
        risk = kind.risk(change.action, found, wanted)
        return change.graded(risk, kind.detaches(change.action, found, wanted))

    def _snippet(self, resource: Resource, found: Found, differing: tuple[str, ...]) -> Change:
        filled = {name: fill(value, self._known) for name, value in resource.wanted.items()}
        wanted = cast("dict[str, Json]", shown(filled))
        write = getattr(self._kinds[resource.key.kind], "snippet", None)
        text = write(found, wanted) if write else canonical(wanted)
        return self._change(
            "snippet", resource, found, differing, reason=_whose(found), snippet=text
        )


def _whose(found: Found) -> str:
    if found.owner is Owner.FOREIGN:
        return f"exists without our mark; to take it over: ostiary adopt '{found.key}'"
    return f"belongs to {found.owned_by or found.owner.value}"


def _anew(differing: tuple[str, ...]) -> str:
    return f"cannot be changed in place: {', '.join(differing)}"
