"""A first estate file written from what exists: ``ostiary init``. Only reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import closing

from ostiary.aws.organization import discover
from ostiary.connect import Connected, connect
from ostiary.errors import EstateError, UsageError
from ostiary.model.account import Account
from ostiary.model.estate import Estate
from ostiary.model.estate_text import parse
from ostiary.okta.people import GroupSummary
from ostiary.settings import Settings

MOST_GROUPS = 20
DRAFT = "(draft)"


def draft(settings: Settings, *, name: str, okta_url: str, profile: str | None) -> str:
    """The text of an estate that parses and changes nothing until an assignment is written into it."""
    head = _head(name, okta_url, profile)
    estate = _read(head)
    connected = connect(estate, settings, purpose="plan")
    (org,) = estate.orgs
    (organization,) = estate.organizations
    with closing(connected):
        found = discover(connected.aws[organization], organization, alone=True)
        groups = _groups(connected, org)
    return head + _body(found.accounts, found.suspended, groups)


def draft_of_servers(settings: Settings, *, name: str, okta_url: str, control: str) -> str:
    """The same of servers alone: groups are read at Okta, nothing at AWS, and nothing at the control plane."""
    head = _top(name, okta_url) + f"servers:\n  control: {json.dumps(control)}\n  projects: {{}}\n"
    estate = _read(head)
    connected = connect(estate, settings, purpose="plan")
    with closing(connected):
        groups = _groups(connected, next(iter(estate.orgs)))
    first = json.dumps(groups[0].name if groups else "my-group")
    lines = [
        "assignments: []",
        "",
        *_found(groups),
        "# A project, and two assignments, look like this; the first group administers it:",
        "#   projects: {prod: {uid_start: 70001, gid_start: 73001}}",
        f"#   - {{group: {first}, may: {{login: prod, admin: true}}}}",
        f"#   - {{group: {first}, may: {{login: prod, servers: {{role: web}}}}}}",
    ]
    return head + "\n".join(lines) + "\n"


def _read(head: str) -> Estate:
    try:
        return parse(head, file=DRAFT, env=dict(os.environ))
    except EstateError as error:
        why = "; ".join(one.partition(": ")[2] for one in error.problems)
        fix = "correct what was given to ostiary init"
        raise UsageError("cannot write a first estate", why=why, fix=fix) from error


def _groups(connected: Connected, org: str) -> list[GroupSummary]:
    return [group for group in connected.people[org].groups() if group.type != "BUILT_IN"]


def _found(groups: Sequence[GroupSummary]) -> list[str]:
    names = [group.name for group in groups]
    lines = ["# Groups found:", *(f"#   {one}" for one in names[:MOST_GROUPS])]
    if len(names) > MOST_GROUPS:
        lines.append(f"#   and {len(names) - MOST_GROUPS} more")
    return lines


def _top(name: str, okta_url: str) -> str:
    return (
        f"estate: {name}\n"
        "version: 1\n"
        'runs: {store: "file:.ostiary/runs"}\n'
        f"org: {{url: {json.dumps(okta_url)}}}\n"
    )


def _head(name: str, okta_url: str, profile: str | None) -> str:
    reach = f"profile: {profile}, " if profile else ""
    return _top(name, okta_url) + (
        f"organization: {{reach: {{{reach}else: [OrganizationAccountAccessRole]}}}}\n"
        "console: {saml_provider: Okta, session: 1h}\n"
        "roles:\n"
        '  ReadOnly: {description: Look but do not touch, policies: ["aws:ReadOnlyAccess"]}\n'
    )


def _body(
    accounts: Iterable[Account], suspended: Iterable[Account], groups: Sequence[GroupSummary]
) -> str:
    lines = ["assignments: []", "", "# Accounts found:"]
    lines += [
        f"#   {account.id}  {account.ou:<20} {account.name}{' (management)' if account.management else ''}"
        for account in accounts
    ]
    lines += [
        f"#   {account.id}  {account.status}, left alone: {account.name}" for account in suspended
    ]
    lines += _found(groups)
    first = groups[0].name if groups else "my-group"
    lines += [
        "# An assignment looks like this; begin with one sandbox account:",
        f'#   - {{group: {json.dumps(first)}, may: ReadOnly, in: ["account:123456789012"]}}',
    ]
    return "\n".join(lines) + "\n"
