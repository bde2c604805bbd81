"""Kinds of Okta objects over all orgs of an estate, as the engine wants them: one kind for every scope."""

from __future__ import annotations

from collections.abc import Mapping

from ostiary.plan.change import Change
from ostiary.plan.resource import Found, Json, Key, Kind, Reading, Resource, Risk, Value


class InEveryOrg:
    """One kind of Okta object over all orgs of an estate: each call goes to the org that its key names."""

    def __init__(self, members: Mapping[str, Kind]) -> None:
        self._members = members
        first = next(iter(members.values()))
        self.name = first.name
        self.immutable: frozenset[str] = getattr(first, "immutable", frozenset())

    def read(self, scope: str, wanted: Mapping[str, Resource]) -> Reading:
        return self._members[scope].read(scope, wanted)

    def look(self, key: Key) -> Found | None:
        return self._members[key.scope].look(key)

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        return self._members[found.key.scope].differences(found, wanted)

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        return self._any.risk(action, found, wanted)

    def detaches(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> int:
        return self._any.detaches(action, found, wanted)

    def expect(self, change: Change) -> None:
        """See ``ostiary.plan.change.Expecting``; most kinds need not know."""
        tell = getattr(self._members[change.key.scope], "expect", None)
        if tell:
            tell(change)

    def create(self, key: Key, wanted: Mapping[str, Json]) -> Found:
        return self._members[key.scope].create(key, wanted)

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found:
        return self._members[found.key.scope].update(found, wanted)

    def delete(self, found: Found) -> None:
        self._members[found.key.scope].delete(found)

    def release(self, found: Found) -> None:
        self._members[found.key.scope].release(found)

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        self._members[key.scope].restore(key, before)

    @property
    def _any(self) -> Kind:
        return next(iter(self._members.values()))
