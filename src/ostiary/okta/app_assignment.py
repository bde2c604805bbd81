"""Groups and people assigned to our apps. Natural key ``<app label>/group:<name>`` or ``<app label>/user:<login>``.

An assignment carries no mark. It is ours when its app is and its group is the source of a rule of ours or is
named in ``groups=`` of a role group of ours (a person: in ``users=``), or when the estate asks for it. Source: Okta
API, "Application Groups" and "Application Users".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ostiary.errors import NotFound, UsageError
from ostiary.okta.app import label_of, list_apps
from ostiary.okta.app_shape import note_of
from ostiary.okta.client import Object, OktaClient, segment
from ostiary.okta.group import description_of, find_group, name_of
from ostiary.okta.group_rule import list_rules, source_of
from ostiary.okta.mark import Mark, direct_sources
from ostiary.okta.reading import only_one, read_whole, refuse_stale
from ostiary.okta.role_group_members import marked_groups
from ostiary.plan.resource import Found, Json, Key, Owner, Reading, Resource, Risk, Value

_NAME = re.compile(r"(?P<label>.+?)/(?P<sort>group|user):(?P<principal>.+)", re.DOTALL)
_PAGES = {"group": 200, "user": 500}


class AppAssignmentKind:
    """``wanted``: ``{"app": id, "group": id}`` or ``{"app": id, "user": id}``, and where it matters ``profile``
    (``{"samlRoles": […]}``), of which only the keys given are compared. Okta chooses the priority.
    """

    name = "okta-app-assignment"

    def __init__(self, client: OktaClient, org: str, estate: str) -> None:
        self._client = client
        self._org = org
        self._mark = Mark(estate)
        self._claimed: set[str] = set()  # names that the estate asks for
        self._sources: frozenset[str] | None = None
        self._ids: dict[tuple[str, str], str] = {}  # ("app" | "group" | "user", name) -> id

    def read(self, scope: str, wanted: Mapping[str, Resource]) -> Reading:
        self._claimed = set(wanted)
        self._sources = None
        return read_whole(self.name, scope, lambda: self._produce(wanted))

    def _produce(self, wanted: Mapping[str, Resource]) -> Iterator[Found]:
        logins = _logins(wanted)
        for app in list_apps(self._client):
            if self._mark.owner(note_of(app))[0] is not Owner.OURS:
                continue
            self._ids["app", label_of(app)] = app["id"]
            for sort in ("group", "user"):
                for assigned in self._assigned(app, sort):
                    ours = assigned["id"] in self._our_sources()
                    if not ours and not self._may_be_wanted(app, sort, assigned, wanted, logins):
                        continue
                    principal = logins.get(assigned["id"]) or self._name_of(sort, assigned)
                    name = f"{label_of(app)}/{sort}:{principal}"
                    self._ids[sort, principal] = assigned["id"]
                    if ours or name in wanted:
                        yield self._found(name, app["id"], sort, assigned)

    def _assigned(self, app: Object, sort: str) -> Iterator[Object]:
        """What is assigned to an app directly: people who have it through a group are left out."""
        path = f"/apps/{segment(app['id'])}/{sort}s"
        query: dict[str, str | int] = {"limit": _PAGES[sort]}
        if sort == "group":
            query["expand"] = "group"
        what = f"cannot list the {sort}s of app {label_of(app)}"
        for assigned in self._client.paginate(path, query, what=what):
            if assigned.get("scope", "USER") == "USER":
                yield assigned

    @staticmethod
    def _may_be_wanted(
        app: Object,
        sort: str,
        assigned: Object,
        wanted: Mapping[str, Resource],
        logins: Mapping[str, str],
    ) -> bool:
        """Spares a call for each foreign assignment: its name is looked up only if it can matter."""
        if sort == "user":
            return assigned["id"] in logins
        return any(name.startswith(f"{label_of(app)}/group:") for name in wanted)

    def _name_of(self, sort: str, assigned: Object) -> str:
        embedded = (assigned.get("_embedded") or {}).get(sort)
        one = embedded or self._client.get(f"/{sort}s/{segment(assigned['id'])}")
        return name_of(one) if sort == "group" else str(one["profile"]["login"])

    def _our_sources(self) -> frozenset[str]:
        """Ids of the groups and people that the rules and role groups of this estate draw on."""
        if self._sources is None:
            rules = (
                source_of(rule)
                for rule in list_rules(self._client)
                if self._mark.rule_owner(rule["name"])[0] is Owner.OURS
            )
            direct = (
                source
                for group in marked_groups(self._client, self._mark)
                for several in direct_sources(description_of(group))
                for source in several
            )
            self._sources = frozenset((*rules, *direct))
        return self._sources

    def look(self, key: Key) -> Found | None:
        label, sort, principal = _split(key.name)
        app_id, principal_id = self._app_id(label), self._principal_id(sort, principal)
        if app_id is None or principal_id is None:
            return None
        return self._at(key.name, app_id, sort, principal_id)

    def _at(self, name: str, app_id: str, sort: str, principal_id: str) -> Found | None:
        try:
            assigned = self._client.get(_path(app_id, sort, principal_id))
        except NotFound:
            return None
        if assigned.get("scope", "USER") != "USER":
            return None
        return self._found(name, app_id, sort, assigned)

    def _app_id(self, label: str) -> str | None:
        if ("app", label) not in self._ids:
            query: dict[str, str | int] = {"q": label, "limit": 200}
            apps = [one for one in self._client.paginate("/apps", query) if label_of(one) == label]
            app = only_one("app", label, apps)
            if app is None:
                return None
            self._ids["app", label] = app["id"]
        return self._ids["app", label]

    def _principal_id(self, sort: str, name: str) -> str | None:
        if (sort, name) not in self._ids:
            try:
                found = (
                    find_group(self._client, name)
                    if sort == "group"
                    else self._client.get(f"/users/{segment(name)}")
                )
            except NotFound:
                found = None
            if found is None:
                return None
            self._ids[sort, name] = found["id"]
        return self._ids[sort, name]

    def _found(self, name: str, app_id: str, sort: str, assigned: Object) -> Found:
        ours = name in self._claimed or assigned["id"] in self._our_sources()
        profile = assigned.get("profile") or {}
        attributes: dict[str, Json] = {
            "app": app_id,
            sort: assigned["id"],
            "profile": {one: profile[one] for one in sorted(profile) if profile[one] is not None},
        }
        raw = {**attributes, "priority": assigned.get("priority")}
        owner = Owner.OURS if ours else Owner.FOREIGN
        return Found(Key(self.name, self._org, name), attributes, owner, {}, raw=raw)

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        have = found.attributes
        names = [
            name
            for name in ("app", "group", "user")
            if name in wanted and have.get(name) != wanted[name]
        ]
        profile, asked = have["profile"], wanted.get("profile")
        if isinstance(asked, dict) and isinstance(profile, dict):
            names += [f"profile.{one}" for one in asked if profile.get(one) != asked[one]]
        return tuple(names)

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        del found, wanted
        return Risk.DETACH if action in ("delete", "replace") else Risk.NONE

    def detaches(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> int:
        del found, wanted
        return 1 if action in ("delete", "replace") else 0

    def create(self, key: Key, wanted: Mapping[str, Json]) -> Found:
        """Assign; what is assigned already keeps its priority and profile but for what is wanted of it."""
        label, sort, principal = _split(key.name)
        app_id, principal_id = str(wanted["app"]), str(wanted[sort])
        self._ids |= {("app", label): app_id, (sort, principal): principal_id}
        self._claimed.add(key.name)
        existing = self._at(key.name, app_id, sort, principal_id)
        if existing is not None and not self.differences(existing, wanted):
            return existing
        profile = wanted.get("profile")
        return self._assign(
            key, app_id, sort, principal_id, {"profile": profile} if profile else {}
        )

    def _assign(
        self, key: Key, app_id: str, sort: str, principal_id: str, body: Mapping[str, Any]
    ) -> Found:
        what = f"cannot assign {key.name}"
        if sort == "group":
            assigned = self._client.put(_path(app_id, sort, principal_id), dict(body), what=what)
        else:
            person = {"id": principal_id, "scope": "USER", **body}
            assigned = self._client.post(f"/apps/{segment(app_id)}/users", person, what=what)
        return self._found(key.name, app_id, sort, assigned)

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found:
        current = refuse_stale(found, self.look(found.key))
        profile, asked = current.attributes["profile"], wanted.get("profile")
        body: dict[str, Any] = {"priority": current.raw.get("priority")}
        if isinstance(profile, dict) and isinstance(asked, dict):
            body["profile"] = {**profile, **asked}
        sort = _split(found.key.name)[1]
        self._claimed.add(found.key.name)
        body = {name: value for name, value in body.items() if value is not None}
        return self._assign(found.key, str(wanted["app"]), sort, str(wanted[sort]), body)

    def delete(self, found: Found) -> None:
        current = self.look(found.key)
        if current is None:
            return
        refuse_stale(found, current)
        sort = _split(found.key.name)[1]
        path = _path(str(found.attributes["app"]), sort, str(found.attributes[sort]))
        try:
            self._client.delete(path, what=f"cannot take away {found.key.name}")
        except NotFound:
            return

    def release(self, found: Found) -> None:
        """Nothing to take off: the assignment is foreign once the app or the rules are released."""

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        current = self.look(key)
        if before is None:
            if current is not None:
                self.delete(current)
            return
        sort = _split(key.name)[1]
        label, _, principal = _split(key.name)
        app_id = self._app_id(label) or str(before["app"])
        principal_id = self._principal_id(sort, principal) or str(before[sort])
        body = {
            name: before[name]
            for name in ("priority", "profile")
            if before.get(name) not in (None, {})
        }
        self._claimed.add(key.name)
        self._assign(key, app_id, sort, principal_id, body)


def _split(name: str) -> tuple[str, str, str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(
            f"cannot read the name of assignment {name!r}",
            why="it is not <app label>/group:<name> or <app label>/user:<login>",
            fix="run: ostiary plan",
        )
    return match["label"], match["sort"], match["principal"]


def _path(app_id: str, sort: str, principal_id: str) -> str:
    return f"/apps/{segment(app_id)}/{sort}s/{segment(principal_id)}"


def _logins(wanted: Mapping[str, Resource]) -> dict[str, str]:
    """User id -> login, of the people whose assignment is wanted."""
    found = {}
    for name, resource in wanted.items():
        _, sort, principal = _split(name)
        user = resource.wanted.get("user")
        if sort == "user" and isinstance(user, str):
            found[user] = principal
    return found
