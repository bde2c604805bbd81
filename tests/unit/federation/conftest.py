import datetime as dt

import pytest

from ostiary.doors.federation.desired import desired
from ostiary.doors.federation.seen import GroupSeen, OrgSeen, PersonSeen, Seen
from ostiary.model.account import Account
from ostiary.model.estate_text import parse

HEAD = """
estate: acme
version: 1
org: {url: "https://acme.okta.com", policy: MFA}
organizations: {std: {}, gov: {partition: aws-us-gov}}
consoles: {std: {organization: std, session: 2h}, gov: {organization: gov}}
roles:
  Admin: {policies: ["aws:AdministratorAccess"]}
  Read: {policies: ["aws:ReadOnlyAccess", "customer:Extra"], boundary: "customer:Box"}
  Deployer: {existing: true}
assignments:
"""
TODAY = dt.date(2026, 6, 1)


@pytest.fixture
def estate():
    def make(*assignments, head=HEAD):
        lines = "".join(f"  - {{{one}}}\n" for one in assignments)
        return parse(head + (lines or "  []\n"), file="e.yaml")

    return make


@pytest.fixture
def head():
    return HEAD


@pytest.fixture
def accounts():
    return (
        Account("200000000001", "web", "std", "aws", ou="/Work", alias="acme-web"),
        Account("200000000002", "No Alias (2)", "std", "aws", ou="/Work", alias=""),
        Account("300000000001", "gov", "gov", "aws-us-gov", alias="acme-gov"),
    )


@pytest.fixture
def world(accounts):
    """A Seen: eng has ann and bob (who has left), ops has cat, fed is filled by a foreign rule."""

    def make(**more):
        people = [
            PersonSeen("u-ann", "ann@x"),
            PersonSeen("u-bob", "bob@x", "SUSPENDED"),
            PersonSeen("u-cat", "cat@x"),
            PersonSeen("u-dan", "dan@x", "DEPROVISIONED"),
        ]
        groups = [
            GroupSeen("g-eng", "eng", members=frozenset({"u-ann", "u-bob"})),
            GroupSeen("g-ops", "ops", members=frozenset({"u-cat"})),
            GroupSeen("g-fed", "fed", members=frozenset({"u-cat", "u-dan"}), rule_filled=True),
        ]
        org = {key: more.pop(key) for key in ("owned", "foreign_rules", "ambiguous") if key in more}
        known = OrgSeen(
            {one.name: one for one in groups}, {one.login: one for one in people}, **org
        )
        return Seen(**{"accounts": accounts, "orgs": {"main": known}, **more})

    return make


@pytest.fixture
def build(estate, world):
    def make(*assignments, head=HEAD, only=frozenset(), **more):
        return desired(estate(*assignments, head=head), world(**more), today=TODAY, only=only)

    return make


@pytest.fixture
def wanted():
    """Resources of one kind as name -> wanted."""

    def of(result, kind):
        return {one.key.name: one.wanted for one in result.resources if one.key.kind == kind}

    return of
