"""Which accounts are meant, and what means none."""

import datetime as dt

import pytest

from ostiary.model.estate_check import check_against
from ostiary.model.estate_text import parse
from ostiary.model.selector import Selector, select


@pytest.fixture
def accounts(account):
    return (
        account("100000000001", "boss", management=True),
        account("200000000001", "prod-web", ou="/Work/Prod", tags={"team": "web"}),
        account("200000000002", "prod-api", ou="/Work/Prod/Deep", tags={"team": "core"}),
        account("200000000003", "dev-web", ou="/Work/Dev", tags={"team": "web"}),
        account("200000000004", "old", ou="/Work/Dev", status="SUSPENDED"),
        account("200000000005", "odd[1]*", ou="/Workshop"),
    )


def names(found):
    return [one.name for one in found]


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [
        (Selector("all", everything=True), ["prod-web", "prod-api", "dev-web", "odd[1]*"]),
        (Selector("", ou="/"), ["prod-web", "prod-api", "dev-web", "odd[1]*"]),
        (Selector("", ou="/Work"), ["prod-web", "prod-api", "dev-web"]),
        (Selector("", ou="/Work/Prod", ou_direct=True), ["prod-web"]),
        (Selector("", tag=("team", "web")), ["prod-web", "dev-web"]),
        (Selector("", tag=("team", "web"), ou="/Work/Prod"), ["prod-web"]),
        (Selector("", account="prod-*"), ["prod-web", "prod-api"]),
        (Selector("", account="PROD-*"), []),
        (Selector("", account="odd[1]*"), ["odd[1]*"]),
        (Selector("", account="200000000002"), ["prod-api"]),
        (Selector("", account="200000000004"), []),
        (Selector("", account="b*"), []),
        (Selector("", account="boss"), ["boss"]),
        (Selector("", account="100000000001"), ["boss"]),
    ],
)
def test_selection(accounts, selector, wanted):
    assert names(select([selector], [], accounts)) == wanted


def test_union_less_exclusion(accounts):
    chosen = select(
        [Selector("", account="boss"), Selector("", ou="/Work")],
        [Selector("", tag=("team", "core")), Selector("", account="b*")],
        accounts,
    )
    assert names(chosen) == ["prod-web", "dev-web"]


def check(accounts, assignments, roles="{A: {existing: true}}"):
    text = f"estate: e\nversion: 1\norg: {{url: 'https://x'}}\nroles: {roles}\nassignments:\n"
    estate = parse(text + assignments, file="e.yaml")
    day = dt.date(2026, 6, 1)
    return check_against(estate, accounts, {"main": {"eng"}}, {"main": {"a@b"}}, today=day)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("{group: eng, may: A, in: ['ou:/Wurk', 'ou:/Work']}", "'ou:/Wurk' under in: of eng"),
        ("{group: eng, may: A, in: ['account:prod-wep']}", "did you mean 'prod-web'?"),
        ("{group: eng, may: A, in: ['account:b*']}", "only the management account"),
        ("{group: eng, may: A, in: ['account:old']}", "not active"),
        (
            "{group: eng, may: A, in: ['ou:/Work'], not_in: ['account:nope']}",
            "under not_in: of eng",
        ),
        ("{group: eng, may: A, in: ['ou:/Work'], not_in: [all]}", "every account"),
        ("{group: enc, may: A, in: ['ou:/Work']}", "has no group 'enc'; did you mean 'eng'?"),
        ("{user: a@c, may: A, in: ['ou:/Work'], until: 2027-01-01, reason: r}", "no user 'a@c'"),
    ],
)
def test_the_estate_against_the_world(accounts, assignment, said):
    (found,) = check(accounts, f"  - {assignment}\n")
    assert found.startswith("e.yaml:6: ")
    assert said in found


def test_what_is_overdue_need_not_hold(accounts):
    assert not check(accounts, "  - {group: gone, may: A, in: ['ou:/Gone'], until: 2026-05-31}\n")
    assert check(accounts, "  - {group: gone, may: A, in: ['ou:/Gone'], until: 2026-06-01}\n")


def test_by_must_match_some_account(accounts):
    roles = "{A: {policies: ['aws:x'], by: {'ou:/Gone': {max_session: 2h}}}}"
    (found,) = check(accounts, "  - {group: eng, may: A, in: ['ou:/Work']}\n", roles)
    assert "under by: of role 'A' matches no account" in found
