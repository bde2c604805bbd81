"""Okta groups: natural key the exact name, mark at the start of the description.

Source: Okta API, "Groups" (``search``, ``POST/PUT/DELETE /groups``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ostiary.errors import Conflict, NotFound
from ostiary.okta.client import Object, OktaClient, segment
from ostiary.okta.mark import Mark
from ostiary.okta.reading import (
    by_name,
    only_one,
    read_whole,
    refuse_foreign,
    refuse_stale,
    search_literal,
)
from ostiary.plan.resource import Found, Json, Key, Owner, Reading, Resource, Risk, Value

PAGE = 1000  # up to 10,000 is allowed, but Okta advises against the maximum


class GroupKind:
    """``wanted``: ``{"description": text}``; ``ids``: ``id``. Groups of all sources share one space of names.

    A group of ours whose mark says what a wanted one is for, under a name that nobody wants any more, is that
    group: it is renamed, and keeps its members. ``renamed`` (wanted name -> id) tells the members' kind, and so does
    ``made`` (id -> group) what was made a moment ago.
    """

    name = "okta-group"

    def __init__(
        self,
        client: OktaClient,
        org: str,
        estate: str,
        *,
        renamed: dict[str, str] | None = None,
        made: dict[str, Object] | None = None,
    ) -> None:
        self._client = client
        self._org = org
        self._mark = Mark(estate)
        self._ids: dict[str, str] = {}  # of what was read or written: a search may lag behind
        self._renamed = {} if renamed is None else renamed
        self._made = {} if made is None else made

    def read(self, scope: str, wanted: Mapping[str, Resource]) -> Reading:
        return read_whole(self.name, scope, lambda: self._produce(wanted))

    def _produce(self, wanted: Mapping[str, Resource]) -> Iterator[Found]:
        named = by_name(list_groups(self._client), name_of)
        absent = {
            purpose_of(str(wanted[name].wanted["description"])): name
            for name in wanted.keys() - named.keys()
        }
        self._renamed.clear()
        for name, groups in named.items():
            ours = any(self._mark.owner(description_of(group))[0] is Owner.OURS for group in groups)
            if not ours and name not in wanted:
                continue
            only_one("group", name, groups)
            follows = absent.pop(purpose_of(description_of(groups[0])), None) if ours else None
            if follows is not None and name not in wanted:
                self._renamed[follows] = groups[0]["id"]
                yield self._found(groups[0], follows)
            else:
                yield self._found(groups[0])

    def look(self, key: Key) -> Found | None:
        known = self._renamed.get(key.name) or self._ids.get(key.name)
        if known is not None:
            found = self._by_id(known, key.name if key.name in self._renamed else "")
            if found is not None and found.key == key:
                return found
        group = find_group(self._client, key.name)
        return None if group is None else self._found(group)

    def _found(self, group: Object, name: str = "") -> Found:
        """``name`` is the one that it is to have, where that is another."""
        owner, owned_by = self._mark.owner(description_of(group))
        if group.get("type") != "OKTA_GROUP":  # filled from a directory or by Okta itself
            owner, owned_by = Owner.ELSEWHERE, f"group type {group.get('type')}"
        self._ids[name_of(group)] = group["id"]
        attributes: dict[str, Json] = {"description": description_of(group)}
        if name and name != name_of(group):
            attributes["name"] = name_of(group)
        return Found(
            Key(self.name, self._org, name or name_of(group)),
            attributes,
            owner,
            {"id": group["id"]},
            owned_by,
            raw={"id": group["id"], "profile": group["profile"]},
        )

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        names = ["name"] if "name" in found.attributes else []
        same = found.attributes["description"] == wanted["description"]
        return tuple(names if same else [*names, "description"])

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        del found, wanted
        return Risk.DETACH if action in ("delete", "replace") else Risk.NONE

    def detaches(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> int:
        del found, wanted
        return 1 if action in ("delete", "replace") else 0

    def create(self, key: Key, wanted: Mapping[str, Json]) -> Found:
        profile = {"name": key.name, "description": wanted["description"]}
        try:
            group = self._client.post(
                "/groups", {"profile": profile}, what=f"cannot create group {key.name}"
            )
        except Conflict:
            return self._already(key)
        self._made[group["id"]] = group
        return self._found(group)

    def _already(self, key: Key) -> Found:
        """The group that a lost answer left behind, if that is what it is."""
        found = self.look(key)
        if found is None:
            raise Conflict(
                f"cannot create group {key.name}",
                why="Okta says that it exists, but its search does not find it",
                fix="wait a minute for Okta's search to follow, then run: ostiary apply",
            )
        refuse_foreign(found)
        return found

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found:
        refuse_stale(found, self._by_id(found.ids["id"], found.key.name))
        updated = self._put(found, {"name": found.key.name, "description": wanted["description"]})
        self._renamed.pop(found.key.name, None)
        return updated

    def _put(self, found: Found, changes: Mapping[str, Any]) -> Found:
        what = f"cannot update group {found.key.name}"
        path = f"/groups/{segment(found.ids['id'])}"
        group = self._client.get(path, what=what)
        profile = {**group["profile"], **changes}
        return self._found(self._client.put(path, {"profile": profile}, what=what))

    def delete(self, found: Found) -> None:
        current = self._by_id(found.ids["id"])
        if current is None:
            return
        refuse_stale(found, current)
        try:
            self._client.delete(
                f"/groups/{segment(found.ids['id'])}",
                what=f"cannot delete group {found.key.name}",
            )
        except NotFound:
            return

    def _by_id(self, group_id: str, name: str = "") -> Found | None:
        """The object by id: what Okta's search shows may be seconds old."""
        try:
            group = self._client.get(f"/groups/{segment(group_id)}")
        except NotFound:
            return None
        return self._found(group, name)

    def release(self, found: Found) -> None:
        current = refuse_stale(found, self._by_id(found.ids["id"]))
        description = self._mark.taken_from(str(current.attributes["description"]))
        self._put(current, {"description": description})

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        current = self.look(key)
        if before is None:
            if current is not None and current.owner is Owner.OURS:
                self.delete(current)
            return
        profile = before["profile"]
        if current is None:
            self._client.post("/groups", {"profile": profile}, what=f"cannot restore {key}")
        elif isinstance(profile, dict):
            self._put(current, profile)


def list_groups(client: OktaClient) -> list[Object]:
    """Every group of the org."""
    return list(client.paginate("/groups", {"limit": PAGE}, what="cannot list groups"))


def find_group(client: OktaClient, name: str) -> Object | None:
    """The group of exactly this name: Okta's ``eq`` ignores case, so the answer is compared again."""
    answered = client.paginate(
        "/groups",
        {"search": f"profile.name eq {search_literal(name)}", "limit": 200},
        what=f"cannot look for group {name}",
    )
    group: Object | None = only_one(
        "group", name, [one for one in answered if name_of(one) == name]
    )
    return group


def purpose_of(description: str) -> str:
    """The part of a mark that says what a group is for, without where its direct members come from."""
    return description.partition(" groups=")[0].partition(" users=")[0]


def name_of(group: Mapping[str, Any]) -> str:
    return str(group["profile"]["name"])


def description_of(group: Mapping[str, Any]) -> str:
    return str(group["profile"].get("description") or "")
