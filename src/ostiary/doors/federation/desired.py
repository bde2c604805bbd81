"""From the estate and what was read to the objects that should exist, and who can then enter what. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from ostiary.doors.federation.assertion_size import size_notes
from ostiary.doors.federation.aws_side import aws_resources
from ostiary.doors.federation.grants import check_roles, expand, overdue
from ostiary.doors.federation.membership import fill
from ostiary.doors.federation.okta_side import (
    MAX_DESCRIPTION,
    RoleGroup,
    okta_resources,
    others,
    role_groups,
)
from ostiary.doors.federation.role_groups import RoleMapping, settings_of
from ostiary.doors.federation.seen import ACTIVE, Desired, Notes, OrgSeen, Seen
from ostiary.model.access import Access, Entitlement
from ostiary.model.account import AccountId
from ostiary.model.estate import Estate
from ostiary.plan.resource import Resource


def desired(
    estate: Estate, seen: Seen, *, today: date, only: frozenset[AccountId] = frozenset()
) -> Desired:
    """Everything the estate wants in this world on this day.

    With ``only``, what it wants in those accounts, and the rules as they are that fill other role groups.
    Whatever else is missing then (apps, groups, assignments of other accounts) is not for deletion.

    An unread account leads to no object in AWS and loses none of its role groups; what the estate says of
    the people in them holds, because that is Okta's to read.
    """
    notes = Notes()
    late = overdue(estate, today, notes)
    grants = tuple(
        grant
        for grant in expand(estate, seen, today, notes)
        if not only or grant.account.id in only
    )
    check_roles(estate, seen, grants, notes)
    readable = [grant for grant in grants if grant.account.id not in seen.unread]
    resources = list(aws_resources(estate, seen, readable, notes))
    groups = role_groups(estate, seen, grants, notes)
    access: dict[str, set[Access]] = {}
    for org in sorted({group.org for group in groups} | (set(seen.orgs) if only else set())):
        mine = tuple(group for group in groups if group.org == org)
        known = seen.orgs[org]
        wanted = (
            (group.name, source, group.console.membership == "direct")
            for group in mine
            for source in sorted(group.sources)
        )
        filling = fill(estate, org, known, wanted, notes, locked=others(known, only))
        resources += okta_resources(estate, org, known, mine, filling)
        active = {one.id: one.login for one in known.people.values() if one.status == ACTIVE}
        people = [(group, _people(group, known, active)) for group in mine]
        _note_access(people, seen.unread, access)
        _check_sizes(estate, people, notes)
    _check_descriptions(resources, notes)
    return Desired(
        resources=tuple(sorted(resources, key=lambda resource: resource.key)),
        assignments=tuple(
            sorted({grant.assignment for grant in grants if grant.account.is_active})
        ),
        access=frozenset[Access]().union(*access.values()),
        problems=tuple(notes.problems),
        warnings=tuple(notes.warnings),
        overdue=late,
        unproven=frozenset(group.account.id for group in groups) & seen.unread,
        by_console={name: frozenset(several) for name, several in access.items()},
    )


def _people(group: RoleGroup, known: OrgSeen, active: Mapping[str, str]) -> set[str]:
    """Logins of the active people who are to be in the role group; ``active`` is id -> login."""
    ids = set[str]().union(*(known.groups[name].members for name in group.sources))
    ids |= {known.people[login].id for login in group.users}
    return {active[one] for one in ids if one in active}


def _note_access(
    people: Iterable[tuple[RoleGroup, set[str]]],
    unread: frozenset[AccountId],
    access: dict[str, set[Access]],
) -> None:
    """Add what each person is to reach, by console."""
    for group, logins in people:
        if group.account.id not in unread:
            entitlement = Entitlement(group.account.partition, group.account.id, group.role)
            reach = access.setdefault(group.console.name, set())
            reach |= {Access(login, entitlement) for login in logins}


def _check_sizes(estate: Estate, people: list[tuple[RoleGroup, set[str]]], notes: Notes) -> None:
    for name in sorted({group.console.name for group, _ in people}):
        mapping = RoleMapping(*settings_of(estate.consoles[name], estate))
        offers = (
            (mapping.value(group.name) or "", logins)
            for group, logins in people
            if group.console.name == name
        )
        problems, warnings = size_notes(offers)
        for text in problems:
            notes.problem(f"{estate.consoles[name].place}: console {name}: {text}")
        for text in warnings:
            notes.warn(f"{estate.consoles[name].place}: console {name}: {text}")


def _check_descriptions(resources: list[Resource], notes: Notes) -> None:
    for resource in resources:
        description = resource.wanted.get("description")
        if resource.key.kind == "okta-group" and len(str(description)) > MAX_DESCRIPTION:
            notes.problem(
                f"role group {resource.key.name} has more direct sources than its description can name "
                f"({MAX_DESCRIPTION} characters); use membership: rules or fewer user assignments"
            )
