"""The wanted objects in an Okta org: apps, role groups, the rules and memberships that fill them, assignments."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ostiary.doors.federation.grants import Grant
from ostiary.doors.federation.membership import Filling
from ostiary.doors.federation.role_groups import RoleMapping, group_name, settings_of
from ostiary.doors.federation.seen import GONE, Notes, OrgSeen, Seen
from ostiary.model.account import Account, AccountId
from ostiary.model.estate import Console, Estate
from ostiary.model.partition import PARTITIONS
from ostiary.plan.resource import Found, Key, Owner, Ref, Resource, Value

DEVICE_GRANTS = (
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:token-exchange",
)
MAX_DESCRIPTION = 1024  # of an Okta group


@dataclass(slots=True)
class RoleGroup:
    """One role group and who is to be in it: ``sources`` are names of groups, ``users`` are logins."""

    org: str
    name: str
    console: Console
    account: Account
    role: str
    sources: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)

    @property
    def key(self) -> Key:
        return Key("okta-group", self.org, self.name)


def role_groups(
    estate: Estate, seen: Seen, grants: Iterable[Grant], notes: Notes
) -> tuple[RoleGroup, ...]:
    """Every role group of the estate, ordered by name.

    A group of an unread account keeps the name that it has; without one it waits for the account to be read.
    """
    present = {org: _present(estate, known.owned) for org, known in seen.orgs.items()}
    found: dict[tuple[str, str], RoleGroup] = {}
    for grant in grants:
        console, account, role = grant.console, grant.account, grant.role
        known = present[console.org].get((console.name, account.id, role))
        unread = account.id in seen.unread or account.alias is None
        if unread:
            if known is None:
                if account.is_active:
                    notes.warn(
                        f"account {account} is unread: no role group for role {role} is made yet"
                    )
                continue
            name = known
        else:
            name = group_name(console, account, role)
            if known is not None and known != name:
                notes.warn(
                    f"role group {known} becomes {name}: the alias of account {account.id} has changed"
                )
        group = found.setdefault(
            (console.org, name), RoleGroup(console.org, name, console, account, role)
        )
        (group.sources if grant.rule.principal_kind == "group" else group.users).add(
            grant.rule.principal
        )
    groups = tuple(found[key] for key in sorted(found))
    _check_mapping(estate, groups, notes)
    return groups


def _present(estate: Estate, owned: Iterable[Found]) -> dict[tuple[str, str, str], str]:
    """(console, account, role) -> name of the role group that carries that in its mark.

    Where a rename was interrupted and two groups carry it, the one that sorts last is as good as the other.
    """
    groups = sorted((one for one in owned if one.key.kind == "okta-group"), key=lambda one: one.key)
    found = {}
    for group in groups:
        if group.owner is not Owner.OURS:
            continue
        mark = read_mark(str(group.attributes.get("description", "")))
        if mark.get("estate") == estate.name:
            place = (mark.get("console", ""), mark.get("account", ""), mark.get("role", ""))
            found[place] = group.key.name
    return found


def others(known: OrgSeen, only: frozenset[AccountId]) -> frozenset[str]:
    """Our role groups of accounts outside ``only``; none when that is empty, which means every account."""
    return frozenset(
        group.key.name
        for group in known.owned
        if only
        and group.key.kind == "okta-group"
        and read_mark(str(group.attributes.get("description", ""))).get("account") not in only
    )


def read_mark(description: str) -> dict[str, str]:
    """The ``key=value`` words of a role group's description."""
    words = description.split(" ")
    if words[0] != "ostiary":
        return {}
    return dict(pair for word in words[1:] if len(pair := word.split("=", 1)) == 2)  # noqa: PLR2004 - a pair


def _check_mapping(estate: Estate, groups: tuple[RoleGroup, ...], notes: Notes) -> None:
    """Every name must give its own role in its own app, and nothing in any other app of the org."""
    mappings = {
        console.name: RoleMapping(*settings_of(console, estate))
        for console in estate.consoles.values()
    }
    for group in groups:
        for console in estate.consoles.values():
            if console.org != group.org:
                continue
            mapping = mappings[console.name]
            if console.name != group.console.name:
                if mapping.value(group.name) is not None:
                    notes.problem(
                        f"{console.place}: the group filter of console {console.name} also takes {group.name!r} "
                        f"of console {group.console.name}; give one another group_name"
                    )
                continue
            shown = mapping.preview(group.name)
            if (shown.role, shown.account) != (group.role, group.account.id):
                notes.problem(
                    f"{console.place}: the group filter of console {console.name} does not read role {group.role} "
                    f"and account {group.account.id} from {group.name!r}: {'; '.join(shown.problems) or 'no match'}"
                )


def okta_resources(
    estate: Estate,
    org: str,
    known: OrgSeen,
    groups: tuple[RoleGroup, ...],
    filling: Filling,
) -> Iterator[Resource]:
    """Resources of one org, from its role groups and how they are filled."""
    used = {group.console.name: group.console for group in groups}
    left = frozenset(one.id for one in known.people.values() if one.status == GONE)
    rules: dict[str, set[Key]] = {}
    for chunk, _ in filling.chunks:
        for name in chunk.targets:
            rules.setdefault(name, set()).add(Key("okta-group-rule", org, chunk.name))
    for name, successors in _successors(org, known, filling).items():
        rules.setdefault(name, set()).update(successors)
    if any(console.native_app for console in used.values()):
        yield _native_app(estate, org)
    for console in used.values():
        yield _aws_app(estate, console)
    for group in groups:
        yield Resource(group.key, {"description": _description(estate, group, known, filling)})
        direct = direct_members(group, known, filling) - left
        yield _members(group, known, direct, rules.get(group.name, ()))
    mine_now = {group.name for group in groups}
    for chunk, source_id in filling.chunks:
        targets = [_target(org, name, known, mine_now) for name in sorted(chunk.targets)]
        yield Resource(
            Key("okta-group-rule", org, chunk.name),
            {
                "source": source_id,
                "targets": list[Value](targets),
                "excluded": list[Value](),
            },
        )
    everybody: dict[str, dict[str, Value]] = {}
    for console in used.values():
        mine = _principals(known, (group for group in groups if group.console is console))
        yield from _assignments(Key("okta-app", org, console.app_label), mine)
        if console.native_app:
            everybody |= mine
    yield from _assignments(native_app_key(estate, org), everybody)


def _target(org: str, name: str, known: OrgSeen, wanted: Collection[str]) -> Value:
    """A role group that a rule fills; with ``--only`` those of other accounts are none of the plan's, but exist."""
    key = Key("okta-group", org, name)
    there = (one.ids.get("id") for one in known.owned if one.key == key)
    return Ref(key, "id") if name in wanted else next(filter(None, there), Ref(key, "id"))


def _successors(org: str, known: OrgSeen, filling: Filling) -> dict[str, set[Key]]:
    """Role group -> the wanted rules of every source whose rule fills it now.

    Okta excepts a person who is taken out of one target from the whole rule; by then the others must be filled
    by the rule that follows.
    """
    wanted: dict[str, set[Key]] = {}
    for chunk, source_id in filling.chunks:
        wanted.setdefault(source_id, set()).add(Key("okta-group-rule", org, chunk.name))
    names = {
        one.ids.get("id", ""): one.key.name for one in known.owned if one.key.kind == "okta-group"
    }
    found: dict[str, set[Key]] = {}
    for rule in known.owned:
        targets = rule.attributes.get("targets")
        if rule.key.kind == "okta-group-rule" and isinstance(targets, list):
            for target in targets:
                successors = wanted.get(str(rule.attributes.get("source")), set())
                found.setdefault(names.get(str(target), ""), set()).update(successors)
    return found


def native_app_key(estate: Estate, org: str) -> Key:
    """The one OIDC app by which command-line tools use the device flow, for all consoles of an org."""
    return Key("okta-app", org, f"AWS CLI ({estate.name})")


def _native_app(estate: Estate, org: str) -> Resource:
    return Resource(
        native_app_key(estate, org),
        {
            "name": "oidc_client",
            "grant_types": list[Value](DEVICE_GRANTS),
            "policy": estate.orgs[org].policy,
        },
    )


def _aws_app(estate: Estate, console: Console) -> Resource:
    partition = PARTITIONS[estate.organizations[console.organization].partition]
    group_filter, pattern = settings_of(console, estate)
    client = Ref(native_app_key(estate, console.org), "client_id")
    settings: dict[str, Value] = {
        "appFilter": console.app_filter,
        "awsEnvironmentType": partition.okta_environment,
        "groupFilter": group_filter,
        "joinAllRoles": False,
        "loginURL": partition.console_url,
        "roleValuePattern": pattern,
        "sessionDuration": console.session_seconds,
        "useGroupMapping": True,
        "webSSOAllowedClient": client if console.native_app else None,
    }
    return Resource(
        Key("okta-app", console.org, console.app_label),
        {"name": "amazon_aws", "settings": settings, "policy": estate.orgs[console.org].policy},
    )


def _description(estate: Estate, group: RoleGroup, known: OrgSeen, filling: Filling) -> str:
    """The mark: whose, what for, and where direct members come from."""
    text = (
        f"ostiary estate={estate.name} console={group.console.name} role={group.role} "
        f"account={group.account.id}"
    )
    sources = sorted(known.groups[name].id for name in filling.direct.get(group.name, ()))
    users = sorted(known.people[login].id for login in group.users)
    return (
        text
        + (f" groups={','.join(sources)}" if sources else "")
        + (f" users={','.join(users)}" if users else "")
    )


def direct_members(group: RoleGroup, known: OrgSeen, filling: Filling) -> frozenset[str]:
    """User ids that no rule brings in."""
    users = frozenset(known.people[login].id for login in group.users)
    return users.union(*(known.groups[name].members for name in filling.direct.get(group.name, ())))


def _members(
    group: RoleGroup, known: OrgSeen, direct: frozenset[str], rules: Iterable[Key]
) -> Resource:
    """``direct`` is without people who have left, whom Okta refuses as members."""
    members = direct.union(*(known.groups[name].members for name in group.sources))
    return Resource(
        Key("okta-role-group-members", group.org, group.name),
        {
            "group": Ref(group.key, "id"),
            "members": list[Value](sorted(members)),
            "direct": list[Value](sorted(direct)),
        },
        after=frozenset(rules),
    )


def _principals(known: OrgSeen, groups: Iterable[RoleGroup]) -> dict[str, dict[str, Value]]:
    """The management groups and single people behind role groups, by the name that an assignment gives them."""
    found: dict[str, dict[str, Value]] = {}
    for one in groups:
        found |= {f"group:{name}": {"group": known.groups[name].id} for name in one.sources}
        found |= {f"user:{login}": {"user": known.people[login].id} for login in one.users}
    return found


def _assignments(app: Key, principals: Mapping[str, dict[str, Value]]) -> Iterator[Resource]:
    """Apps are assigned to the management groups, never to role groups (Okta's migration guide, step 4)."""
    for name, principal in sorted(principals.items()):
        yield Resource(
            Key("okta-app-assignment", app.scope, f"{app.name}/{name}"),
            {"app": Ref(app, "id"), **principal},
        )
