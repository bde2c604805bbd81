"""People and groups of an embedded org, and who is in which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ostiary.sandbox.okta.holdings import Holdings
from ostiary.sandbox.okta.objects import Group, User


class Directory(Holdings):
    """Builders and questions of people and groups."""

    __slots__ = ()

    def add_user(
        self,
        login: str,
        password: str | None,
        *,
        first: str,
        last: str,
        totp_secret: str | None = None,
        groups: Iterable[str] = (),
        status: str = "ACTIVE",
        **profile: Any,
    ) -> User:
        """``totp_secret`` is base32; ``groups`` are names, made when they do not exist yet."""
        now = self.clock.now()
        names = {"firstName": first, "lastName": last, "login": login, "email": login}
        user = User(
            self.mint("00u"),
            {"mobilePhone": None, "secondEmail": None, **names, **profile},
            status,
            now,
            now,
            password=password,
            totp_secret=totp_secret,
            factor_id=self.mint("uft"),
            password_changed=now if password else None,
        )
        self.users[user.id] = user
        for name in groups:
            self.join(login, name)
        self.dirty_users[user.id] = now
        return user

    def new_group(
        self, name: str, kind: str, source: str | None = None, description: str | None = None
    ) -> Group:
        """``source`` is the id of the app that a group of kind APP_GROUP was imported from."""
        now = self.clock.now()
        group = Group(self.mint("00g"), name, description, kind, now, now, now, source_app=source)
        self.groups[group.id] = group
        return group

    def group(self, name: str) -> Group:
        """By name, of any kind; made as an OKTA_GROUP when there is none."""
        found = next((group for group in self.groups.values() if group.name == name), None)
        return found or self.new_group(name, "OKTA_GROUP")

    def user(self, login_or_id: str) -> User | None:
        """By id, login or short login (the part before @), as the API's paths accept them."""
        wanted = login_or_id.lower()
        return self.users.get(login_or_id) or next(
            (
                user
                for user in self.users.values()
                if wanted in (user.login.lower(), user.login.lower().partition("@")[0])
            ),
            None,
        )

    def join(self, login: str, group_name: str) -> None:
        self._person(login, group_name, True)

    def leave(self, login: str, group_name: str) -> None:
        self._person(login, group_name, False)

    def _person(self, login: str, group_name: str, inside: bool) -> None:
        user, group = self.user(login), self.group(group_name)
        if user is None:
            raise KeyError(login)
        (group.direct.add if inside else group.direct.discard)(user.id)
        group.membership_updated = self.clock.now()
        self.dirty_users[user.id] = self.clock.now()

    def members(self, group: Group) -> set[str]:
        """User ids. Everyone holds all who were not deactivated."""
        if group.kind == "BUILT_IN":
            return {user.id for user in self.users.values() if user.status != "DEPROVISIONED"}
        return group.members

    def holds(self, group: Group, user_id: str) -> bool:
        """Whether the person is a member, without building the set of all."""
        if group.kind == "BUILT_IN":
            user = self.users.get(user_id)
            return user is not None and user.status != "DEPROVISIONED"
        return user_id in group.direct or any(user_id in given for given in group.by_rule.values())

    def groups_of(self, user_id: str) -> list[Group]:
        return [group for group in self.groups.values() if self.holds(group, user_id)]
