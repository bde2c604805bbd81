"""People and the groups that they are in, read only.

A list is whole or it is an error, so what is missing from an answer does not exist. Source: Okta API, "Users" and
"Groups".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ostiary.errors import NotFound
from ostiary.okta.client import Object, OktaClient, segment
from ostiary.okta.group import description_of, list_groups, name_of
from ostiary.okta.group_rule import list_rules, targets_of
from ostiary.okta.reading import ambiguous, by_name
from ostiary.okta.role_group_members import list_members

GROUPS_OF_PAGE = 200


@dataclass(frozen=True, slots=True, order=True)
class Person:
    """``login`` is the Okta username; ``status`` Okta's (ACTIVE, SUSPENDED, DEPROVISIONED, …)."""

    id: str
    login: str
    status: str


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """``type`` is OKTA_GROUP, APP_GROUP or BUILT_IN; ``source`` is ``okta`` or the key of the app it comes from
    (``active_directory``), which is what an App Filter compares.
    """

    id: str
    name: str
    description: str
    type: str
    source: str


@dataclass(frozen=True, slots=True)
class GroupNames:
    """``found`` by exact name; ``ambiguous`` gives the ids of names that several groups bear."""

    found: Mapping[str, GroupSummary]
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class People:
    """Groups and rules are listed once and kept; ``forget`` makes the next question ask again."""

    def __init__(self, client: OktaClient) -> None:
        self._client = client
        self._groups: tuple[GroupSummary, ...] | None = None
        self._rules: tuple[Object, ...] | None = None

    def forget(self) -> None:
        self._groups = self._rules = None

    def groups(self) -> tuple[GroupSummary, ...]:
        """Every group of the org."""
        if self._groups is None:
            listed = list_groups(self._client)
            keys = self._app_keys(listed)
            self._groups = tuple(_summary(group, keys) for group in listed)
        return self._groups

    def groups_by_name(self, names: Iterable[str]) -> GroupNames:
        """The groups of these exact names. Names that no group bears are in neither part of the answer."""
        wanted = set(names)
        found: dict[str, GroupSummary] = {}
        several: dict[str, tuple[str, ...]] = {}
        for group in self.groups():
            if group.name not in wanted:
                continue
            if group.name in found or group.name in several:
                known = several.get(group.name) or (found.pop(group.name).id,)
                several[group.name] = (*known, group.id)
            else:
                found[group.name] = group
        return GroupNames(found, several)

    def group_members(self, group_id: str) -> tuple[Person, ...]:
        """Everybody in a group, by rule or by hand, whatever their status."""
        people = (person_of(user) for user in list_members(self._client, group_id))
        return tuple(sorted(people, key=lambda person: person.login))

    def groups_of(self, user_id: str) -> tuple[GroupSummary, ...]:
        """The groups that one person is in: what an assertion for them is made from."""
        path = f"/users/{segment(user_id)}/groups"
        what = f"cannot list the groups of user {user_id}"
        ids = {
            group["id"]
            for group in self._client.paginate(path, {"limit": GROUPS_OF_PAGE}, what=what)
        }
        return tuple(group for group in self.groups() if group.id in ids)

    def people(self, logins: Iterable[str]) -> dict[str, Person]:
        """The people of these exact logins (case does not count, as in Okta); who does not exist is left out."""
        found: dict[str, Person] = {}
        for login in sorted(set(logins)):
            try:
                user = self._client.get(
                    f"/users/{segment(login)}", what=f"cannot look for user {login}"
                )
            except NotFound:
                continue
            person = person_of(user)
            if person.login.lower() == login.lower():  # Okta also takes the part before the @
                found[login] = person
        return found

    def logins(self, ids: Iterable[str]) -> dict[str, str]:
        """Logins by user id; who does not exist any more is left out."""
        found: dict[str, str] = {}
        for user_id in sorted(ids):
            try:
                user = self._client.get(
                    f"/users/{segment(user_id)}", what=f"cannot look for user {user_id}"
                )
            except NotFound:
                continue
            found[user_id] = person_of(user).login
        return found

    def rule_count(self) -> int:
        """How many group rules the org has, of whomever."""
        return len(self._all_rules())

    def source_is_rule_filled(self, group_id: str) -> bool:
        """Whether any group rule, of whomever, has this group as a target."""
        return any(group_id in targets_of(rule) for rule in self._all_rules())

    def _all_rules(self) -> tuple[Object, ...]:
        if self._rules is None:
            self._rules = tuple(list_rules(self._client))
        return self._rules

    def exactly_one(self, name: str) -> GroupSummary | None:
        """The group of this name; None without one, Conflict with several."""
        names = self.groups_by_name([name])
        if name in names.ambiguous:
            raise ambiguous("group", name, names.ambiguous[name])
        return names.found.get(name)

    def _app_keys(self, groups: Iterable[Object]) -> dict[str, str]:
        """App id -> key (``active_directory``) of the apps that imported groups come from."""
        sources = by_name((one for one in groups if source_id_of(one)), source_id_of)
        keys = {}
        for app_id in sources:
            try:
                keys[app_id] = str(self._client.get(f"/apps/{segment(app_id)}")["name"])
            except NotFound:
                keys[app_id] = app_id
        return keys


def person_of(user: Object) -> Person:
    return Person(user["id"], str(user["profile"]["login"]), str(user["status"]))


def source_id_of(group: Object) -> str:
    """The id of the app that a group was imported from; "" for Okta's own."""
    href = ((group.get("_links") or {}).get("source") or {}).get("href") or ""
    return str((group.get("source") or {}).get("id") or href.rpartition("/")[2])


def _summary(group: Object, keys: Mapping[str, str]) -> GroupSummary:
    source = keys.get(source_id_of(group), "okta")
    return GroupSummary(group["id"], name_of(group), description_of(group), group["type"], source)
