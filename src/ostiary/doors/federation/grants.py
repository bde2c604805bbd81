"""From the rules of the estate to single grants: this principal, this role, this account, through this console."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from ostiary.doors.federation.seen import Notes, Seen
from ostiary.model.access import Assignment, Entitlement
from ostiary.model.account import Account
from ostiary.model.estate import AssignmentRule, Console, Estate, RoleTemplate
from ostiary.model.partition import PARTITIONS
from ostiary.model.selector import select


@dataclass(frozen=True, slots=True)
class Grant:
    """One assignment of the estate, down to one account and one role."""

    console: Console
    account: Account
    role: str
    rule: AssignmentRule

    @property
    def assignment(self) -> Assignment:
        entitlement = Entitlement(self.account.partition, self.account.id, self.role)
        kind, principal = self.rule.principal_kind, self.rule.principal
        return Assignment(self.console.org, kind, principal, entitlement, self.console.name)


def expand(estate: Estate, seen: Seen, today: date, notes: Notes) -> tuple[Grant, ...]:
    """Every grant that holds ``today``; those of principals that Okta does not have are problems.

    Those in accounts that are not active are among them: what such an account has is kept for its return.
    """
    return tuple(
        grant
        for rule in estate.assignments
        if not rule.is_overdue(today) and _principal_exists(rule, estate, seen, notes)
        for grant in _grants(rule, estate, seen)
    )


def overdue(estate: Estate, today: date, notes: Notes) -> tuple[AssignmentRule, ...]:
    """Rules whose last day is past: they grant nothing, so the next apply takes their access away."""
    late = tuple(rule for rule in estate.assignments if rule.is_overdue(today))
    for rule in late:
        notes.warn(
            f"{rule.place}: the assignment of {rule.principal_kind} {rule.principal} ended on "
            f"{rule.until}: what it gave is removed; take the lines out"
        )
    return late


def _grants(rule: AssignmentRule, estate: Estate, seen: Seen) -> Iterator[Grant]:
    for name in rule.consoles:
        console = estate.consoles[name]
        accounts = (one for one in seen.accounts if one.organization == console.organization)
        for account in select(rule.in_, rule.not_in, accounts, inactive=True):
            for role in rule.may:
                yield Grant(console, account, role, rule)


def _principal_exists(rule: AssignmentRule, estate: Estate, seen: Seen, notes: Notes) -> bool:
    exists = True
    for org in {estate.consoles[name].org for name in rule.consoles}:
        known = seen.orgs[org]
        if rule.principal in known.ambiguous and rule.principal_kind == "group":
            notes.problem(
                f"{rule.place}: Okta org {org} has more than one group named {rule.principal!r}"
            )
            exists = False
        elif rule.principal not in (
            known.groups if rule.principal_kind == "group" else known.people
        ):
            what = f"{rule.principal_kind} {rule.principal!r}"
            notes.problem(f"{rule.place}: Okta org {org} has no {what}")
            exists = False
    return exists


def check_roles(estate: Estate, seen: Seen, grants: tuple[Grant, ...], notes: Notes) -> None:
    """What the accounts must already have: roles made elsewhere, policies of the customer."""
    pairs = {(grant.account.id, grant.role): grant.account for grant in grants}
    for (account_id, name), account in sorted(pairs.items()):
        role = estate.roles[name].in_account(account)
        if "," in name:
            notes.problem(
                f"{role.place}: role {name!r} holds a comma, at which AWS splits role and provider"
            )
        organization = estate.organizations[account.organization]
        if not role.existing and name in organization.ways_in:
            notes.problem(
                f"{role.place}: role {name} is how Ostiary enters accounts of organization {organization.name}: "
                "what it may do is not ours to write; say existing: true, or choose another name"
            )
        if any(fnmatchcase(name, pattern) for pattern in organization.protect_roles):
            notes.problem(
                f"{role.place}: role {name} is protected in organization {organization.name}: nobody can be let in; "
                "take it out of protect, or out of the assignments"
            )
        iam = seen.iam.get(account_id)
        if iam is None or account_id in seen.unread:
            continue
        present = next((one for one in iam.roles if one.name == name), None)
        if present is not None and present.path != "/":
            notes.problem(
                f"{role.place}: role {name} in account {account} has path {present.path}; "
                "role groups cannot express paths"
            )
        if role.existing and present is None:
            notes.problem(
                f"{role.place}: role {name} is existing: true, but account {account} has none"
            )
        elif not role.existing and iam.complete:
            for policy in _missing_policies(role, account, iam.policies.keys()):
                notes.problem(
                    f"{role.place}: policy customer:{policy} of role {name} does not exist in account {account}"
                )


def _missing_policies(role: RoleTemplate, account: Account, known: Collection[str]) -> list[str]:
    refs = [*role.policies, *([role.boundary] if role.boundary else [])]
    partition = PARTITIONS[account.partition]
    return [
        ref.name
        for ref in refs
        if ref.kind == "customer"
        and partition.iam_arn(account.id, f"policy/{ref.name}") not in known
    ]
