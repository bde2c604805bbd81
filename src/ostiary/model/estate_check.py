"""The estate against what the Organizations and orgs really hold: still before anything is planned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date

from ostiary.model.account import Account
from ostiary.model.estate import AssignmentRule, Estate
from ostiary.model.estate_fields import suggest
from ostiary.model.selector import Selector, select


def check_against(
    estate: Estate,
    accounts: Iterable[Account],
    groups: Mapping[str, Collection[str]],
    users: Mapping[str, Collection[str]] | None = None,
    *,
    today: date | None = None,
) -> tuple[str, ...]:
    """Every rule that means nobody or nothing, as ``file:line: message`` in the order of the file.

    ``accounts`` are those of every Organization of the estate; ``groups`` and ``users`` are names and logins by
    org. Rules that are overdue ``today`` need not hold any more.
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
    found += _server_problems(estate, groups, today)
    return tuple(dict.fromkeys(message for _, message in sorted(found)))


def _server_problems(
    estate: Estate, groups: Mapping[str, Collection[str]], today: date | None
) -> Iterator[tuple[int, str]]:
    """Groups of servers that no org has. Which org a control plane is of is not the estate's to say."""
    known = {name for names in groups.values() for name in names}
    named = [
        (one.place, one.principal.removeprefix("group "))
        for one in estate.server_assignments
        if one.principal.startswith("group ") and not (today and one.is_overdue(today))
    ]
    projects = estate.servers.projects.values() if estate.servers else ()
    named += [(one.place, owner) for one in projects for owner in one.owners]
    for place, name in named:
        if name not in known:
            yield place.line, f"{place}: no Okta org has group {name!r}{suggest(name, list(known))}"


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
