"""What Okta and AWS hold after an apply, read for the proof: nothing of the plan is taken for granted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from ostiary.connect import Connected
from ostiary.doors.federation.proof import AppHeld, Held, OrgHeld
from ostiary.doors.federation.role_groups import RoleMapping
from ostiary.doors.federation.seen import GroupSeen, PersonSeen
from ostiary.errors import OstiaryError
from ostiary.model.account import Account
from ostiary.okta.assigned import assigned_to
from ostiary.okta.people import GroupSummary
from ostiary.plan.resource import Key

MEMBERS_AT_ONCE = 12  # lists of members under way; the client keeps the rate limits


def read_held(connected: Connected, accounts: Iterable[Account]) -> Held:
    """``accounts`` are those that were read; the others are left out of both sides of the proof."""
    estate = connected.estate
    providers: dict[str, str] = {}
    trust: dict[str, Mapping[str, object]] = {}
    names = {console.saml_provider for console in estate.consoles.values()}

    def read(account: Account) -> None:
        reading = connected.readings.account(account.id)
        for role in reading.roles.values():
            trust[role.arn] = role.trust
        for name in names:
            provider = connected.readings.provider(account.id, name)
            if provider is not None:
                providers[provider.arn] = provider.metadata

    with ThreadPoolExecutor(connected.settings.workers, thread_name_prefix="held") as pool:
        list(pool.map(read, accounts))
    return Held({org: _org(connected, org) for org in estate.orgs}, providers, trust)


def _org(connected: Connected, org: str) -> OrgHeld:
    people = connected.people[org]
    people.forget()
    apps = tuple(_apps(connected, org))
    groups = [group for group in people.groups() if _counts(group, apps)]
    seen: dict[str, PersonSeen] = {}

    def with_members(group: GroupSummary) -> GroupSeen:
        members = people.group_members(group.id)
        for person in members:
            seen[person.id] = PersonSeen(person.id, person.login, person.status)
        return GroupSeen(group.id, group.name, group.source, frozenset(one.id for one in members))

    with ThreadPoolExecutor(MEMBERS_AT_ONCE, thread_name_prefix="members") as pool:
        held = tuple(pool.map(with_members, groups))
    return OrgHeld(apps, held, tuple(seen.values()))


def _apps(connected: Connected, org: str) -> Iterable[AppHeld]:
    kind = next(kind for kind in connected.kinds if kind.name == "okta-app")
    for console in connected.estate.consoles.values():
        if console.org != org:
            continue
        found = kind.look(Key("okta-app", org, console.app_label))
        if found is None:
            continue  # an app that does not exist gives nobody anything
        assigned = assigned_to(connected.okta[org], found.ids["id"], console.app_label)
        settings = found.attributes.get("settings")
        yield AppHeld(
            console.app_label,
            settings if isinstance(settings, dict) else {},
            found.ids.get("metadata", ""),
            assigned.groups,
            assigned.users,
        )


def _counts(group: GroupSummary, apps: Iterable[AppHeld]) -> bool:
    """Whether an app's filter could take the group, or the group opens the app to somebody."""
    for app in apps:
        if group.id in app.groups:
            return True
        try:
            mapping = RoleMapping(
                str(app.settings.get("groupFilter") or ""),
                str(app.settings.get("roleValuePattern") or ""),
            )
        except OstiaryError:
            continue  # a filter that Okta cannot use gives nobody anything
        if mapping.value(group.name) is not None:
            return True
    return False
