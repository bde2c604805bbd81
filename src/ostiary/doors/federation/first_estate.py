"""A first estate file written from what exists: ``ostiary init``. Only reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import closing

from ostiary.aws.organization import discover
from ostiary.connect import connect
from ostiary.model.account import Account
from ostiary.model.estate_text import parse
from ostiary.okta.people import GroupSummary
from ostiary.settings import Settings

MOST_GROUPS = 20


def draft(settings: Settings, *, name: str, okta_url: str, profile: str | None) -> str:
    """The text of an estate that parses and changes nothing until an assignment is written into it."""
    head = _head(name, okta_url, profile)
    estate = parse(head, file="(draft)", env=dict(os.environ))
    connected = connect(estate, settings, purpose="plan")
    (org,) = estate.orgs
    (organization,) = estate.organizations
    with closing(connected):
        found = discover(connected.aws[organization], organization, alone=True)
        groups = [group for group in connected.people[org].groups() if group.type != "BUILT_IN"]
    return head + _body(found.accounts, found.suspended, groups)


def _head(name: str, okta_url: str, profile: str | None) -> str:
    reach = f"profile: {profile}, " if profile else ""
    return (
        f"estate: {name}\n"
        "version: 1\n"
        'runs: {store: "file:.ostiary/runs"}\n'
        f"org: {{url: {json.dumps(okta_url)}}}\n"
        f"organization: {{reach: {{{reach}else: [OrganizationAccountAccessRole]}}}}\n"
        "console: {saml_provider: Okta, session: 1h}\n"
        "roles:\n"
        '  ReadOnly: {description: Look but do not touch, policies: ["aws:ReadOnlyAccess"]}\n'
    )


def _body(
    accounts: Iterable[Account], suspended: Iterable[Account], groups: Iterable[GroupSummary]
) -> str:
    lines = ["assignments: []", "", "# Accounts found:"]
    lines += [
        f"#   {account.id}  {account.ou:<20} {account.name}{' (management)' if account.management else ''}"
        for account in accounts
    ]
    lines += [
        f"#   {account.id}  {account.status}, left alone: {account.name}" for account in suspended
    ]
    names = [group.name for group in groups]
    lines += ["# Groups found:", *(f"#   {one}" for one in names[:MOST_GROUPS])]
    if len(names) > MOST_GROUPS:
        lines.append(f"#   and {len(names) - MOST_GROUPS} more")
    first = names[0] if names else "my-group"
    lines += [
        "# An assignment looks like this; begin with one sandbox account:",
        f'#   - {{group: {json.dumps(first)}, may: ReadOnly, in: ["account:123456789012"]}}',
    ]
    return "\n".join(lines) + "\n"
