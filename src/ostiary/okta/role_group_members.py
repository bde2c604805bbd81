"""Who is in a role group. The group is ours; its people come by group rules, some are added by name.

Removing somebody whom a rule brought makes Okta except that person from the whole rule, so members that a rule
brings are waited for and are left to the rule: a role group that is no longer wanted takes them along. Rules may
pass over people who have never activated their account; those are not waited for. Source: Okta API, "Groups"
(members) and Okta help, "Manual group user management".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ostiary.errors import Conflict, NotFound
from ostiary.okta.client import Object, OktaClient, segment
from ostiary.okta.group import description_of, find_group, list_groups, name_of
from ostiary.okta.group_rule import list_rules, targets_of
from ostiary.okta.mark import Mark
from ostiary.okta.reading import by_name, only_one, read_whole, search_literal, stale
from ostiary.plan.change import Change
from ostiary.plan.resource import Found, Json, Key, Owner, Reading, Resource, Risk, Value

MEMBERS_PAGE = 1000
STATS_PAGE = 200
PATIENCE = 300.0  # seconds that a rule may take to bring its people
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 15.0
_NEVER_ACTIVE = 'status eq "STAGED" or status eq "PROVISIONED"'


class RoleGroupMembersKind:
    """``wanted``: ``{"group": id, "members": [user ids], "direct": [user ids that we add ourselves]}``.

    A group without members counts as absent, unless none are wanted. ``renamed`` (wanted name -> id, from
    ``GroupKind``) are groups that still have another name. ``removed`` collects the user ids that were
    taken out since the last read: ``GroupRuleKind`` forgives the exceptions that Okta makes of them. ``made`` are
    groups that ``GroupKind`` made a moment ago, by id.
    """

    name = "okta-role-group-members"

    def __init__(
        self,
        client: OktaClient,
        org: str,
        estate: str,
        *,
        removed: set[str] | None = None,
        renamed: dict[str, str] | None = None,
        made: dict[str, Object] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._client = client
        self._org = org
        self._mark = Mark(estate)
        self._removed = set() if removed is None else removed
        self._renamed = {} if renamed is None else renamed
        self._made = {} if made is None else made
        self._patience = patience
        self._planned: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        self._groups: dict[str, Object] = {}
        self._rule_filled: frozenset[str] | None = None
        self._never_active: frozenset[str] | None = None

    def read(self, scope: str, wanted: Mapping[str, Resource]) -> Reading:
        self._planned, self._rule_filled, self._never_active = {}, None, None
        return read_whole(self.name, scope, lambda: self._produce(wanted))

    def _produce(self, wanted: Mapping[str, Resource]) -> Iterator[Found]:
        self._groups = {name_of(group): group for group in marked_groups(self._client, self._mark)}
        for name, group_id in self._renamed.items():
            former = next((n for n, one in self._groups.items() if one["id"] == group_id), None)
            if former is not None:
                self._groups[name] = self._groups.pop(former)
        unmarked = wanted.keys() - self._groups.keys()
        if unmarked:  # foreign, or so new that Okta's search does not show it yet
            named = by_name(list_groups(self._client), name_of)
            for name in unmarked & named.keys():
                only_one("group", name, named[name])
                self._groups[name] = named[name][0]
        for name, group in self._groups.items():
            expected = _ids(wanted[name].wanted, "members") if name in wanted else frozenset()
            direct = _ids(wanted[name].wanted, "direct") if name in wanted else frozenset()
            members = self._counted(group, expected, certain=not direct)
            members |= self._not_due(expected - members - direct)
            if name in wanted:
                self._planned[name] = (members, expected)
            if members or (name in wanted and not expected):
                yield self._found(group, members, name)

    def _counted(self, group: Object, expected: frozenset[str], *, certain: bool) -> frozenset[str]:
        """The members; not listed where their number says enough."""
        count = ((group.get("_embedded") or {}).get("stats") or {}).get("usersCount")
        if count == 0:
            return frozenset()
        if certain and count == len(expected):
            return expected
        return self._members(group)

    def _not_due(self, missing: frozenset[str]) -> frozenset[str]:
        """Those of ``missing`` whom a rule need not bring: their account was never activated. They count as there."""
        if missing and self._never_active is None:
            query = {"filter": _NEVER_ACTIVE, "limit": "200"}
            users = self._client.paginate("/users", query, what="cannot list users by status")
            self._never_active = frozenset(user["id"] for user in users)
        return missing & (self._never_active or frozenset())

    def look(self, key: Key) -> Found | None:
        """While an update is planned, people whom a rule brings in the meantime are no news: shown as planned.

        All of them too: the journal must hold who was there before the run, or restoring it would leave them in.
        """
        group = self._group(key.name)
        if group is None:
            return None
        members = self._members(group)
        seen, expected = self._planned.get(key.name, (members, members))
        members |= self._not_due(seen & expected - members)
        if seen and seen <= members <= seen | expected:
            members = seen
        return self._found(group, members, key.name) if members else None

    def expect(self, change: Change) -> None:
        """A run begins that writes this change: also where the plan was read by another process, or restores."""
        self._planned[change.key.name] = (
            _ids(change.before or {}, "members"),
            _ids(change.after or {}, "members"),
        )

    def _group(self, name: str) -> Object | None:
        known = self._groups.get(name)
        if known is not None:
            try:
                group: Object = self._client.get(f"/groups/{segment(known['id'])}")
            except NotFound:
                del self._groups[name]
            else:
                if name_of(group) == name or name in self._renamed:
                    return group
        found = find_group(self._client, name)
        if found is not None:
            self._groups[name] = found
        return found

    def _members(self, group: Object) -> frozenset[str]:
        return frozenset(user["id"] for user in list_members(self._client, group["id"]))

    def _found(self, group: Object, members: frozenset[str], name: str = "") -> Found:
        owner, owned_by = self._mark.owner(description_of(group))
        attributes: dict[str, Json] = {"group": group["id"], "members": [*sorted(members)]}
        key = Key(self.name, self._org, name or name_of(group))
        return Found(key, attributes, owner, {}, owned_by, raw=dict(attributes))

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        names = [] if found.attributes["group"] == wanted["group"] else ["group"]
        if _ids(found.attributes, "members") != _ids(wanted, "members"):
            names.append("members")
        return tuple(names)

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        return Risk.DETACH if self.detaches(action, found, wanted) else Risk.NONE

    def detaches(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> int:
        """How many people the group loses."""
        have = _ids(found.attributes, "members") if found else frozenset()
        if action in ("delete", "replace"):
            return max(1, len(have))
        return len(have - _ids(wanted or {}, "members"))

    def create(self, key: Key, wanted: Mapping[str, Json]) -> Found:
        """Fill an empty group. Members that nobody wants are a Conflict: to take them out needs a plan that says so."""
        group = self._made.pop(str(wanted["group"]), None) or self._client.get(
            f"/groups/{segment(str(wanted['group']))}"
        )
        self._groups[key.name] = group
        if self._mark.owner(description_of(group))[0] is not Owner.OURS:
            raise Conflict(
                f"cannot fill group {key.name}",
                why="it does not bear the mark of this estate",
                fix=f"run: ostiary adopt okta-group:{self._org}/{key.name}",
            )
        members = self._members(group)
        if extras := members - _ids(wanted, "members"):
            raise Conflict(
                f"cannot fill group {key.name}",
                why=f"it already has {len(extras)} members who are not wanted: {_some(extras)}",
                fix="run: ostiary plan",
            )
        return self._fill(group, wanted, members)

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found:
        group = self._group(found.key.name)
        if group is None or group["id"] != found.attributes["group"]:
            raise stale(found.key, "the group was deleted or made anew since the plan was made")
        expected, planned = _ids(wanted, "members"), _ids(found.attributes, "members")
        members = self._members(group)
        if strangers := members - planned - expected:
            raise stale(found.key, f"joined since the plan was made: {_some(strangers)}")
        gone = (planned & expected) - members
        if gone := gone - self._not_due(gone):
            raise stale(found.key, f"left since the plan was made: {_some(gone)}")
        for user in sorted(members - expected):
            self._remove(group, user)
        if members - expected:
            members = self._members(group)
        return self._fill(group, wanted, members)

    def _fill(self, group: Object, wanted: Mapping[str, Json], members: frozenset[str]) -> Found:
        """Add the direct members, then wait until rules have brought the others; ``members`` are those of now."""
        expected, direct = _ids(wanted, "members"), _ids(wanted, "direct")
        if new := (expected & direct) - members:
            for user in sorted(new):
                self._add(group, user)
            members = self._members(group)
        until, pause = self._client.clock() + self._patience, _FIRST_PAUSE
        while missing := expected - members:
            late = self._not_due(missing - direct)
            if late == missing:
                break
            if self._client.clock() >= until:
                raise Conflict(
                    f"cannot fill group {name_of(group)}",
                    why=f"no group rule has brought {len(missing - late)} of its members within "
                    f"{self._patience:.0f} s: {_some(missing - late)}",
                    fix="run: ostiary plan; a rule that is not ACTIVE, or excepts them, is shown there",
                )
            self._client.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)
            members = self._members(group)
        self._planned.pop(name_of(group), None)
        return self._found(group, members | expected)

    def _add(self, group: Object, user: str) -> None:
        self._client.put(
            f"/groups/{segment(group['id'])}/users/{segment(user)}",
            what=f"cannot add user {user} to group {name_of(group)}",
        )

    def _remove(self, group: Object, user: str) -> None:
        self._removed.add(user)
        try:
            self._client.delete(
                f"/groups/{segment(group['id'])}/users/{segment(user)}",
                what=f"cannot remove user {user} from group {name_of(group)}",
            )
        except NotFound:
            return

    def delete(self, found: Found) -> None:
        """Empty the group, unless a rule fills it: then its members go with the group itself."""
        group = self._group(found.key.name)
        if group is None or group["id"] != found.attributes["group"]:
            return
        members = self._members(group)
        if strangers := members - _ids(found.attributes, "members"):
            raise stale(found.key, f"joined since the plan was made: {_some(strangers)}")
        if not self._is_rule_filled(group):
            for user in sorted(members):
                self._remove(group, user)

    def _is_rule_filled(self, group: Object) -> bool:
        if self._rule_filled is None:
            self._rule_filled = frozenset(
                target for rule in list_rules(self._client) for target in targets_of(rule)
            )
        return group["id"] in self._rule_filled

    def release(self, found: Found) -> None:
        """Nothing here bears a mark: the group is released by its own kind, its members stay."""

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        group = self._group(key.name)
        if group is None:
            return
        now = self._members(group)
        if before is None:
            if now:
                self.delete(self._found(group, now))
            return
        then = _ids(before, "members")
        for user in sorted(now - then):
            self._remove(group, user)
        for user in sorted(then - now):
            self._add(group, user)


def marked_groups(client: OktaClient, mark: Mark) -> list[Object]:
    """The groups that bear this estate's mark, with the number of their members in ``_embedded.stats``."""
    literal = search_literal(mark.text)
    query: dict[str, str | int] = {
        "search": f"profile.description sw {literal}",
        "expand": "stats",
        "limit": STATS_PAGE,
    }
    found = client.paginate("/groups", query, what="cannot list the groups of this estate")
    return [group for group in found if mark.owner(description_of(group))[0] is Owner.OURS]


def list_members(client: OktaClient, group_id: str) -> list[Object]:
    """Everybody in a group."""
    path = f"/groups/{segment(group_id)}/users"
    what = f"cannot list the members of group {group_id}"
    return list(client.paginate(path, {"limit": MEMBERS_PAGE}, what=what))


def _ids(values: Mapping[str, Any], name: str) -> frozenset[str]:
    return frozenset(str(item) for item in values.get(name) or ())


def _some(users: Iterable[str]) -> str:
    shown = sorted(users)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")  # noqa: PLR2004
