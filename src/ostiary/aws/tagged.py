"""What kinds of objects in a region do alike: found by our two tags, compared by attribute, looked at again before a write.

``ostiary:estate`` says whose it is, ``ostiary:name`` which of ours. Both are set by the call that makes the object, never by
a second one, so a kill leaves nothing without them. ``Key.name`` is ``REGION/NAME``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ostiary.aws.ownership import TAG
from ostiary.aws.session import Aws
from ostiary.errors import Conflict, NotFound, OstiaryError, StalePlan, Unreachable
from ostiary.plan.resource import Found, Json, Key, Owner, Reading, Resource, Risk, Value

NAME_TAG = "ostiary:name"


class TaggedKind:
    """One kind in one region. Subclasses list, make, change and remove; everything else is here."""

    name = ""
    immutable: frozenset[str] = frozenset()
    unordered: frozenset[str] = frozenset()  # attributes that are sets of ids, kept sorted

    def __init__(self, estate: str, aws: Aws, region: str) -> None:
        self._estate = estate
        self._aws = aws
        self._region = region

    # what a kind has of its own

    def _listed(self) -> Iterator[Found]:
        """Every object of this kind that bears our estate's tag."""
        raise NotImplementedError

    def _make(self, key: Key, wanted: Mapping[str, Json]) -> None:
        raise NotImplementedError

    def _change(self, found: Found, wanted: Mapping[str, Json]) -> None:
        raise NotImplementedError

    def _remove(self, found: Found) -> None:
        raise NotImplementedError

    def _untag(self, found: Found) -> None:
        """Take our tags off."""
        self._call("ec2", "delete_tags", Resources=[found.ids["id"]], Tags=[{"Key": TAG}])

    # what all have alike

    def read(self, scope: str, wanted: Mapping[str, Resource]) -> Reading:
        del wanted
        try:
            found = tuple(self._listed())
        except OstiaryError as error:
            return Reading(self.name, scope, complete=False, why=error)
        return Reading(self.name, scope, found)

    def look(self, key: Key) -> Found | None:
        return next((one for one in self._listed() if one.key == key), None)

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        return tuple(
            name
            for name, value in wanted.items()
            if found.attributes.get(name) != (_sorted(value) if name in self.unordered else value)
        )

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        del found, wanted
        return Risk.DETACH if action in ("delete", "replace") else Risk.NONE

    def detaches(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> int:
        del found, wanted
        return int(action in ("delete", "replace"))

    def create(self, key: Key, wanted: Mapping[str, Json]) -> Found:
        known = self.look(key)
        if known is None:
            self._make(key, wanted)
        elif self.differences(known, wanted):  # ours, from a run whose answer was lost
            self._change(known, wanted)
        return self._after(key)

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found:
        now = self._unchanged(found)
        if now is None:
            raise StalePlan(
                f"cannot update {found.key}", why="it is gone", fix="run the same command again"
            )
        if self.immutable.intersection(self.differences(now, wanted)):
            self._remove(now)
            self._make(found.key, wanted)
        else:
            self._change(now, wanted)
        return self._after(found.key)

    def delete(self, found: Found) -> None:
        now = self._unchanged(found)
        if now is not None:
            try:
                self._remove(now)
            except NotFound:
                return

    def release(self, found: Found) -> None:
        try:
            self._untag(found)
        except NotFound:
            return

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        now = self.look(key)
        if before is None:
            if now is not None:
                self._remove(now)
        elif now is None:
            self._make(key, before)
        elif self.differences(now, before):
            self.update(now, before)

    def _unchanged(self, found: Found) -> Found | None:
        now = self.look(found.key)
        if now is not None and now.attributes != found.attributes:
            raise StalePlan(
                f"cannot write {found.key}",
                why="changed since it was read",
                fix="run the same command again",
            )
        return now

    def _began(self, key: Key, service: str, operation: str, **params: Any) -> Found:
        """Make the object by one call that is never sent twice: after a lost answer the tags say whether it is there.

        Sent again, an address would be allocated twice, and a group would be refused because of its own name.
        """
        try:
            self._aws.call(service, operation, region=self._region, **params)
        except Unreachable as lost:
            found = self._shown(key) if lost.maybe_done else None
            if found is None:
                raise
            return found
        return self._after(key)

    def _shown(self, key: Key) -> Found | None:
        """The object once the service shows it; None when it does not within a quarter of a minute."""
        for wait in (0.0, 0.2, 0.5, 1, 2, 4, 8):
            self._aws.pause(wait)
            found = self.look(key)
            if found is not None:
                return found
        return None

    def _after(self, key: Key) -> Found:
        """The object that was just written."""
        found = self._shown(key)
        if found is not None:
            return found
        raise Conflict(
            f"cannot see {key}",
            why="it was made, and the service does not show it",
            fix="run the same command again",
        )

    def _call(self, service: str, operation: str, **params: Any) -> Any:
        return self._aws.call(service, operation, region=self._region, repeatable=True, **params)

    def _pages(self, service: str, operation: str, items: str, **params: Any) -> Iterator[Any]:
        return self._aws.pages(service, operation, items, region=self._region, **params)

    def _ours(self) -> list[dict[str, Any]]:
        """The filter that lists what is ours."""
        return [{"Name": f"tag:{TAG}", "Values": [self._estate]}]

    def _tags(self, key: Key, name: str) -> list[dict[str, str]]:
        return [
            {"Key": "Name", "Value": name},
            {"Key": TAG, "Value": self._estate},
            {"Key": NAME_TAG, "Value": short(key)},
        ]

    def _specified(self, kind: str, key: Key) -> list[dict[str, Any]]:
        """TagSpecifications of a creation."""
        return [{"ResourceType": kind, "Tags": self._tags(key, short(key))}]

    def _found(
        self,
        tags: Mapping[str, str],
        attributes: Mapping[str, Json],
        ids: Mapping[str, str],
    ) -> Found | None:
        """None for an object that is not one of ours by name."""
        if tags.get(TAG) != self._estate or not tags.get(NAME_TAG):
            return None
        key = Key(self.name, self._scope(), f"{self._region}/{tags[NAME_TAG]}")
        return Found(key, attributes, Owner.OURS, ids=ids, raw=attributes)

    def _scope(self) -> str:
        return self._aws.caller().account_id


def _sorted(value: Json) -> Json:
    return sorted(value, key=str) if isinstance(value, list) else value


def short(key: Key) -> str:
    """The name without its region."""
    return key.name.partition("/")[2]


def tags_of(one: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in one.get("Tags") or ()}
