"""Reading the world before planning: accounts and aliases, source groups and their people, what is ours already.

Nothing is decided here; ``desired`` decides from the values that this file brings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from ostiary.aws.organization import discover
from ostiary.connect import Connected
from ostiary.doors.federation.seen import GroupSeen, OrgSeen, PersonSeen, Seen
from ostiary.errors import Interrupted, OstiaryError
from ostiary.model.account import Account, AccountId
from ostiary.model.estate import Estate, OrganizationSettings
from ostiary.model.iam import AccountIam
from ostiary.plan.change import Event, OnEvent
from ostiary.plan.resource import Found, Reading


@dataclass(frozen=True, slots=True)
class Survey:
    """``unread`` says why an account could not be read, by id; ``suspended`` are named and left alone.

    ``closed`` are management accounts that the estate does not name and that could not be read: no matter.
    """

    seen: Seen
    suspended: tuple[Account, ...] = ()
    unread: Mapping[str, OstiaryError] = field(default_factory=dict)
    closed: tuple[Account, ...] = ()

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The active ones: all that may be entered."""
        return tuple(account for account in self.seen.accounts if account.is_active)


def survey(
    connected: Connected, only: frozenset[str] = frozenset(), on_event: OnEvent | None = None
) -> Survey:
    """Read all organizations and orgs of the estate; ``on_event`` hears of each account.

    With ``only``, no other account is entered: the others count as unread.
    """
    estate = connected.estate
    with ThreadPoolExecutor(max(1, len(estate.orgs)), thread_name_prefix="org") as pool:
        asked = {name: pool.submit(_org, connected, name) for name in estate.orgs}
        accounts, suspended = _discovered(connected)
        read, unread = _enter(connected, accounts, only, on_event)
        closed = [one for one in accounts if one.id in unread and not _is_wanted(estate, one)]
        accounts = [one for one in accounts if one not in closed]
        unread = {one: why for one, why in unread.items() if one not in {c.id for c in closed}}
        orgs = {name: one.result() for name, one in asked.items()}
    return Survey(
        seen=Seen(
            accounts=tuple(
                replace(account, alias=read[account.id][0]) if account.id in read else account
                for account in (*accounts, *suspended)
            ),
            orgs=orgs,
            # Who is suspended today may be back tomorrow: unread, so that nothing of it is taken away.
            unread=frozenset(one.id for one in (*accounts, *suspended) if one.id not in read),
            iam={account_id: iam for account_id, (_, iam) in read.items()},
        ),
        suspended=tuple(suspended),
        unread=unread,
        closed=tuple(closed),
    )


def _is_wanted(estate: Estate, account: Account) -> bool:
    """A management account is nobody's target unless the estate names it; any other account is."""
    if not account.management:
        return True
    named = {one.account for rule in estate.assignments for one in rule.in_}
    return account.id in named or account.name in named


def _discovered(connected: Connected) -> tuple[list[Account], list[Account]]:
    """The active accounts of every organization, and the others."""
    estate = connected.estate
    accounts: list[Account] = []
    suspended: list[Account] = []
    for name, organization in estate.organizations.items():
        found = discover(
            connected.aws[name],
            name,
            tags=_asks_for_tags(estate),
            alone=_is_single_account(organization),
        )
        for account in (*found.accounts, *found.suspended):
            connected.fleet.place(account.id, name)
        accounts += found.accounts
        suspended += found.suspended
    return accounts, suspended


def _asks_for_tags(estate: Estate) -> bool:
    selectors = [
        selector
        for assignment in estate.assignments
        for selector in (*assignment.in_, *assignment.not_in)
    ]
    selectors += [other.selector for role in estate.roles.values() for other in role.by]
    return any(selector.tag is not None for selector in selectors)


def _is_single_account(organization: OrganizationSettings) -> bool:
    """A profile and no role to enter members by: one account on its own."""
    return not (organization.plan or organization.apply or organization.fallbacks)


def _enter(
    connected: Connected,
    accounts: Iterable[Account],
    only: frozenset[str],
    on_event: OnEvent | None,
) -> tuple[dict[AccountId, tuple[str, AccountIam]], dict[str, OstiaryError]]:
    """Alias and IAM of every account that can be read, and why the others cannot."""

    def enter(account: Account) -> tuple[Account, tuple[str, AccountIam] | OstiaryError]:
        try:
            reading = connected.readings.account(account.id)
        except Interrupted:
            raise
        except OstiaryError as error:
            return account, error
        iam = AccountIam(
            account.id,
            account.partition,
            tuple(reading.roles.values()),
            policies=reading.policies,
        )
        return account, (reading.alias, iam)

    wanted = [account for account in accounts if not only or account.id in only]
    read: dict[AccountId, tuple[str, AccountIam]] = {}
    unread: dict[str, OstiaryError] = {}
    with ThreadPoolExecutor(connected.settings.workers, thread_name_prefix="survey") as pool:
        for account, answer in pool.map(enter, wanted):
            if isinstance(answer, OstiaryError):
                unread[account.id] = answer
            else:
                read[account.id] = answer
            if on_event:
                done = len(read) + len(unread)
                on_event(Event("read", account.id, done=done, total=len(wanted)))
    return read, unread


def _org(connected: Connected, org: str) -> OrgSeen:
    """Source groups with their members, the people named in the estate, and what bears our mark.

    Raises when any of it could not be read: without its people an org says nothing about who may enter.
    """
    people = connected.people[org]
    people.forget()
    consoles = {name for name, console in connected.estate.consoles.items() if console.org == org}
    rules = [rule for rule in connected.estate.assignments if consoles & set(rule.consoles)]
    groups = {rule.principal for rule in rules if rule.principal_kind == "group"}
    logins = {rule.principal for rule in rules if rule.principal_kind == "user"}
    names = people.groups_by_name(groups)
    seen: dict[str, PersonSeen] = {
        login: PersonSeen(person.id, person.login, person.status)
        for login, person in people.people(logins).items()
    }
    found: dict[str, GroupSeen] = {}
    for name, group in names.found.items():
        members = people.group_members(group.id)
        for person in members:
            seen.setdefault(person.login, PersonSeen(person.id, person.login, person.status))
        found[name] = GroupSeen(
            group.id,
            name,
            group.source,
            frozenset(person.id for person in members),
            rule_filled=people.source_is_rule_filled(group.id),
        )
    owned, foreign_rules = _owned(connected, org)
    return OrgSeen(found, seen, owned, foreign_rules, frozenset(names.ambiguous))


def _owned(connected: Connected, org: str) -> tuple[tuple[Found, ...], int]:
    found: list[Found] = []
    for kind in connected.kinds:
        if kind.name in ("okta-group", "okta-group-rule"):
            found += _whole(kind.read(org, {})).found
    ours = sum(one.key.kind == "okta-group-rule" for one in found)
    return tuple(found), max(0, connected.people[org].rule_count() - ours)


def _whole(reading: Reading) -> Reading:
    if reading.why is not None:
        raise reading.why
    return reading
