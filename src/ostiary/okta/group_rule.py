"""Group rules that bring the people of one source group into role groups.

Natural key the exact name (at most 50 characters), which begins with the estate's mark. Okta changes a rule only
while it is inactive and never its target groups; deactivating or deleting one leaves the members where they are.
Source: Okta API, "Group Rules".
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ostiary.errors import Conflict, NotFound
from ostiary.okta.client import Object, OktaClient, segment
from ostiary.okta.mark import Mark
from ostiary.okta.reading import by_name, only_one, read_whole, refuse_foreign, refuse_stale
from ostiary.plan.resource import Found, Json, Key, Owner, Reading, Resource, Risk, Value

PAGE = 200
MAX_NAME = 50
_SOURCE = re.compile(r'isMemberOfAnyGroup\("([^"]+)"\)')


class GroupRuleKind:
    """``wanted``: ``{"source": group id, "targets": [group ids], "excluded": [user ids]}``; ``ids``: ``id``.

    As read there is also ``status``: anything but ACTIVE is a difference. INVALID means that a target is gone.
    ``removed``: people whom ``RoleGroupMembersKind`` took out of role groups since the last read; that Okta
    excepts them from a rule then is our own doing and no news.
    """

    name = "okta-group-rule"

    def __init__(
        self, client: OktaClient, org: str, estate: str, *, removed: set[str] | None = None
    ) -> None:
        self._client = client
        self._org = org
        self._mark = Mark(estate)
        self._removed = set() if removed is None else removed
        self._ids: dict[str, str] = {}
        self._sources: frozenset[str] = frozenset()

    def read(self, scope: str, wanted: Mapping[str, Resource]) -> Reading:
        self._removed.clear()
        self._sources = frozenset(str(one.wanted.get("source")) for one in wanted.values())
        return read_whole(self.name, scope, lambda: self._produce(wanted))

    def _produce(self, wanted: Mapping[str, Resource]) -> Iterator[Found]:
        for name, rules in by_name(list_rules(self._client), _name_of).items():
            if name in wanted or self._mark.rule_owner(name)[0] is Owner.OURS:
                only_one("group rule", name, rules)
                yield self._found(rules[0])

    def look(self, key: Key) -> Found | None:
        """By id where it is known: Okta finds rules by name only in the whole list."""
        known = self._ids.get(key.name)
        if known is not None:
            found = self._by_id(known)
            if found is not None and found.key == key:
                return found
        same = [rule for rule in list_rules(self._client) if _name_of(rule) == key.name]
        rule = only_one("group rule", key.name, same)
        return None if rule is None else self._found(rule)

    def _by_id(self, rule_id: str) -> Found | None:
        try:
            return self._found(self._client.get(f"/groups/rules/{segment(rule_id)}"))
        except NotFound:
            return None

    def _found(self, rule: Object) -> Found:
        owner, owned_by = self._mark.rule_owner(rule["name"])
        self._ids[rule["name"]] = rule["id"]
        attributes: dict[str, Json] = {
            "source": source_of(rule),
            "targets": [*sorted(targets_of(rule))],
            "excluded": [*sorted(set(_excluded_of(rule)) - self._removed)],
            "status": rule["status"],
        }
        kept = ("id", "name", "status", "conditions", "actions")
        return Found(
            Key(self.name, self._org, rule["name"]),
            attributes,
            owner,
            {"id": rule["id"]},
            owned_by,
            raw={name: rule[name] for name in kept} | {"conditions": self._unexcepted(rule)},
        )

    def _unexcepted(self, rule: Object) -> dict[str, Any]:
        """The rule's conditions without the exceptions that Okta made of whom we took out ourselves."""
        conditions: dict[str, Any] = copy.deepcopy(rule["conditions"])
        if self._removed and _excluded_of(rule):
            users = conditions["people"]["users"]
            users["exclude"] = [one for one in users["exclude"] if one not in self._removed]
        return conditions

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        have = found.attributes
        names = [name for name in ("source",) if have[name] != wanted[name]]
        names += [
            name for name in ("targets", "excluded") if have[name] != sorted(_texts(wanted[name]))
        ]
        return tuple(names if have["status"] == "ACTIVE" else [*names, "status"])

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        return Risk.DETACH if self.detaches(action, found, wanted) else Risk.NONE

    def detaches(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> int:
        """A rule that gives way to another one of the same source takes nobody away by itself: its members stay,
        and who then has to leave a role group is counted there."""
        del wanted
        if action != "delete":
            return 0
        return 0 if found is not None and found.attributes["source"] in self._sources else 1

    def create(self, key: Key, wanted: Mapping[str, Json]) -> Found:
        """Make the rule and switch it on; one that a lost answer left behind is brought in line."""
        try:
            rule = self._client.post(
                "/groups/rules",
                _body(key.name, wanted),
                what=f"cannot create group rule {key.name}",
            )
        except Conflict:
            existing = self.look(key)
            if existing is None:
                raise
            refuse_foreign(existing)
            return self.update(existing, wanted) if self.differences(existing, wanted) else existing
        return self._switch_on(key, rule["id"])

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found:
        """In place when only exclusions or the status differ; else delete, leaving the members, and create.

        Okta refuses new target groups and any change of an INVALID rule.
        """
        current = refuse_stale(found, self._by_id(found.ids["id"]))
        differing = set(self.differences(current, wanted))
        if current.attributes["status"] == "INVALID" or differing & {"targets", "source"}:
            self._delete(current)
            return self.create(found.key, wanted)
        self._switch(found.key, found.ids["id"], on=False)
        if "excluded" in differing:
            self._put(found, _body(found.key.name, wanted))
        return self._switch_on(found.key, found.ids["id"])

    def _put(self, found: Found, body: Mapping[str, Any]) -> None:
        path = f"/groups/rules/{segment(found.ids['id'])}"
        rule = self._client.get(path)
        people = {**rule["conditions"].get("people", {}), **body["conditions"]["people"]}
        conditions = {**rule["conditions"], **body["conditions"], "people": people}
        self._client.put(
            path,
            {**rule, **body, "conditions": conditions},
            what=f"cannot update group rule {found.key.name}",
        )

    def _switch(self, key: Key, rule_id: str, *, on: bool) -> None:
        verb = "activate" if on else "deactivate"
        self._client.post(
            f"/groups/rules/{segment(rule_id)}/lifecycle/{verb}",
            what=f"cannot {verb} group rule {key.name}",
        )

    def _switch_on(self, key: Key, rule_id: str) -> Found:
        self._switch(key, rule_id, on=True)
        return self._found(self._client.get(f"/groups/rules/{segment(rule_id)}"))

    def delete(self, found: Found) -> None:
        current = self._by_id(found.ids["id"])
        if current is not None:
            self._delete(refuse_stale(found, current))

    def _delete(self, found: Found) -> None:
        """Its members stay: whoever must leave is taken out one by one by the role group's own resource."""
        if found.attributes["status"] == "ACTIVE":
            self._switch(found.key, found.ids["id"], on=False)
        try:
            self._client.delete(
                f"/groups/rules/{segment(found.ids['id'])}",
                {"removeUsers": "false"},
                what=f"cannot delete group rule {found.key.name}",
            )
        except NotFound:
            return

    def release(self, found: Found) -> None:
        """The rule goes on working under its name without our prefix."""
        current = refuse_stale(found, self._by_id(found.ids["id"]))
        attributes = current.attributes
        if attributes["status"] == "INVALID":
            raise Conflict(
                f"cannot release group rule {found.key.name}",
                why="it is INVALID: one of its target groups is gone, and Okta lets such a rule only be deleted",
                fix="run: ostiary apply",
            )
        self._switch(found.key, found.ids["id"], on=False)
        name = found.key.name.removeprefix(self._mark.rule_prefix) or found.ids["id"]
        self._put(found, _body(name, attributes))
        self._ids.pop(found.key.name, None)
        self._switch(found.key, found.ids["id"], on=True)

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        current = self.look(key)
        if before is None:
            if current is not None and current.owner is Owner.OURS:
                self._delete(current)
            return
        rule: Any = before
        wanted: dict[str, Json] = {
            "source": source_of(rule),
            "targets": list(targets_of(rule)),
            "excluded": list(_excluded_of(rule)),
        }
        if current is None:
            self.create(key, wanted)
        elif self.differences(current, wanted):
            self.update(current, wanted)
        if before["status"] == "INACTIVE":
            self._switch(key, self._ids[key.name], on=False)


def list_rules(client: OktaClient) -> list[Object]:
    """Every group rule of the org."""
    return list(client.paginate("/groups/rules", {"limit": PAGE}, what="cannot list group rules"))


def source_of(rule: Mapping[str, Any]) -> str:
    """The id of the one source group; the whole expression where it says anything else."""
    text = str(rule["conditions"]["expression"]["value"])
    match = _SOURCE.fullmatch(text.strip())
    return match[1] if match else text


def targets_of(rule: Mapping[str, Any]) -> list[str]:
    return list(rule["actions"]["assignUserToGroups"]["groupIds"])


def _excluded_of(rule: Mapping[str, Any]) -> list[str]:
    people = (rule["conditions"].get("people") or {}).get("users") or {}
    return list(people.get("exclude") or [])


def _name_of(rule: Object) -> str:
    return str(rule["name"])


def _texts(value: Json | Iterable[Any]) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _expression(source: str) -> str:
    return source if "(" in source else f'isMemberOfAnyGroup("{source}")'


def _body(name: str, wanted: Mapping[str, Json]) -> dict[str, Any]:
    return {
        "type": "group_rule",
        "name": name,
        "conditions": {
            "expression": {
                "type": "urn:okta:expression:1.0",
                "value": _expression(str(wanted["source"])),
            },
            "people": {"users": {"exclude": sorted(_texts(wanted["excluded"]))}},
        },
        "actions": {"assignUserToGroups": {"groupIds": sorted(_texts(wanted["targets"]))}},
    }
