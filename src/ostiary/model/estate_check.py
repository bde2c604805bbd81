"""The estate against what the Organizations and orgs really hold: still before anything is planned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date

from ostiary.model.account import Account
from ostiary.model.estate import AssignmentRule, Estate, Place
from ostiary.model.estate_fields import suggest
from ostiary.model.selector import Selector, select


def check_against(
    estate: Estate,
    accounts: Iterable[Account],
    groups: Mapping[str, Collection[str]],
    users: Mapping[str, Collection[str]] | None = None,
    *,
    today: date | None = None,
    logins: Collection[str] | None = None,
) -> tuple[str, ...]:
    """Every rule that means nobody or nothing, as ``file:line: message`` in the order of the file.

    ``accounts`` are those of every Organization of the estate; ``groups`` and ``users`` are names and logins by
    org; ``logins`` those of the people whom the servers' part names and some org has. Rules that are overdue ``today``
    need not hold any more.
    """
    known = tuple(accounts)
    found: list[tuple[int, str]] = []
    for rule in estate.assignments:
        if today is not None and rule.is_overdue(today):
            continue
        messages = [
            *_selector_problems(rule, [one for one in known if _is_meant(estate, rule, one)]),
            *_principal_problems(estate, rule, groups, users),
        ]
        found += [(rule.place.line, f"{rule.place}: {message}") for message in messages]
    for role in estate.roles.values():
        for other in role.by:
            if not any(other.selector.covers(account) for account in known):
                message = f"{other.place}: '{other.selector}' under by: of role {role.name!r} matches no account"
                found.append((other.place.line, message))
    found += _server_problems(estate, groups, logins, today)
    return tuple(dict.fromkeys(message for _, message in sorted(found)))


def named_on_servers(estate: Estate, today: date | None) -> tuple[tuple[Place, str, str], ...]:
    """(place, ``group`` or ``user``, name) of everybody whom the part of servers names: in rules, as owners."""
    named: list[tuple[Place, str, str]] = []
    for one in estate.server_assignments:
        kind, _, name = one.rule.subject.partition(":")
        if kind != "machine" and not (today and one.is_overdue(today)):
            named.append((one.place, kind, name))
    if estate.servers is not None:
        for project in estate.servers.projects.values():
            named += ((project.place, "group", owner) for owner in project.owners)
        for machine in estate.servers.machines.values():
            if not (today and today > machine.until):
                named.append((machine.place, "user", machine.owner))
    return tuple(named)


def _server_problems(
    estate: Estate,
    groups: Mapping[str, Collection[str]],
    logins: Collection[str] | None,
    today: date | None,
) -> Iterator[tuple[int, str]]:
    """Whom no org has. Which org a control plane is of is not the estate's to say."""
    known: dict[str, Collection[str] | None] = {
        "group": {name for names in groups.values() for name in names},
        "user": logins,
    }
    for place, kind, name in named_on_servers(estate, today):
        names = known[kind]
        if names is not None and name not in names:
            near = suggest(name, list(names))
            yield place.line, f"{place}: no Okta org has {kind} {name!r}{near}"


def _is_meant(estate: Estate, rule: AssignmentRule, account: Account) -> bool:
    return account.organization in {
        estate.consoles[console].organization for console in rule.consoles
    }


def _selector_problems(rule: AssignmentRule, accounts: Sequence[Account]) -> Iterator[str]:
    empty = False
    for item in rule.in_:
        if not any(item.matches(account) for account in accounts):
            empty = True
            yield f"'{item}' under in: of {rule.principal} {_nothing(item, accounts)}"
    for item in rule.not_in:
        if not any(item.covers(account) for account in accounts):
            yield f"'{item}' under not_in: of {rule.principal} matches no account"
    if not empty and not select(rule.in_, rule.not_in, accounts):
        yield f"not_in takes every account out of the assignment of {rule.principal}"


def _nothing(item: Selector, accounts: Sequence[Account]) -> str:
    """Why an item chooses no account."""
    covered = [account for account in accounts if item.covers(account)]
    if any(account.management for account in covered):
        return "matches only the management account, which must be named by id or exact name"
    if covered:
        return "matches only accounts that are not active"
    if item.account is None:
        return "matches no account"
    near = suggest(item.account, [account.name for account in accounts])
    return f"matches no account{near}"


def _principal_problems(
    estate: Estate,
    rule: AssignmentRule,
    groups: Mapping[str, Collection[str]],
    users: Mapping[str, Collection[str]] | None,
) -> Iterator[str]:
    names = groups if rule.principal_kind == "group" else users
    for org in sorted({estate.consoles[console].org for console in rule.consoles}):
        if names is not None and org in names and rule.principal not in names[org]:
            near = suggest(rule.principal, list(names[org]))
            yield f"Okta org {org} has no {rule.principal_kind} {rule.principal!r}{near}"
