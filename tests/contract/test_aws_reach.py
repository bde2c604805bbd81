"""Entering accounts: whose credentials sign, which role is tried, who is refused."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from aws_world import CORE, MANAGEMENT, SHARED, TEAM, join, small_organization

from ostiary.aws.credentials import Credentials
from ostiary.aws.fleet import Fleet
from ostiary.aws.organization import discover, no_way_in
from ostiary.aws.reach import Ways
from ostiary.aws.session import Aws
from ostiary.errors import Denied, NotFound, Unreachable, UsageError
from ostiary.sandbox.aws.state import Session


@pytest.fixture
def site(monkeypatch):
    return small_organization(monkeypatch)


def identity(aws, account):
    return aws.call("sts", "get_caller_identity", account=account)["Arn"]


def test_each_call_is_signed_for_its_account_whatever_the_thread(site):
    accounts = [CORE, TEAM, MANAGEMENT] * 20
    with ThreadPoolExecutor(8) as pool:
        arns = list(pool.map(lambda account: identity(site.aws, account), accounts))
    assert [arn.split(":")[4] for arn in arns] == accounts
    assert site.counted("AssumeRole") == 2


def test_a_block_acts_in_an_account_and_leaves_it(site):
    client = site.aws.client("sts")
    with site.aws.acting_in(CORE):
        assert client.get_caller_identity()["Account"] == CORE
    assert client.get_caller_identity()["Account"] == MANAGEMENT


def test_fallbacks_are_tried_in_order_and_the_one_that_worked_is_remembered(site):
    aws = site.again(ways=Ways(("OstiaryPlan", "OrganizationAccountAccessRole")))
    assert "OrganizationAccountAccessRole" in identity(aws, CORE)
    assert aws.reach.entered_by == {CORE: "OrganizationAccountAccessRole"}
    before = site.counted("AssumeRole")
    aws.reach.forget(CORE)
    identity(aws, CORE)
    assert site.counted("AssumeRole") == before + 1


def test_an_override_holds_for_its_account_only(site):
    aws = site.again(ways=Ways(overrides={TEAM: ("Nope",)}))
    assert identity(aws, CORE)
    with pytest.raises(Unreachable, match="2222-3333-4444") as caught:
        identity(aws, TEAM)
    assert "Nope: AccessDenied" in caught.value.why


def test_an_account_without_a_way_in_is_asked_once(site):
    aws = site.again(ways=Ways(("One", "Two")))
    for _ in range(3):
        with pytest.raises(Unreachable):
            identity(aws, CORE)
    assert site.counted("AssumeRole") == 2


def test_the_external_id_is_sent(site):
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{MANAGEMENT}:root"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": "s3cret"}},
            }
        ],
    }
    site.cloud.add_role(CORE, "OstiaryPlan", trust)
    assert identity(site.again(ways=Ways(("OstiaryPlan",), external_id="s3cret")), CORE)
    with pytest.raises(Unreachable):
        identity(site.again(ways=Ways(("OstiaryPlan",))), CORE)


def test_credentials_are_renewed_when_they_are_near_their_end_or_refused(site):
    identity(site.aws, CORE)
    for session in site.cloud.keys.values():
        if isinstance(session, Session):
            session.expires = site.world.clock.now() - 1
    assert identity(site.aws, CORE)
    assert site.counted("AssumeRole") == 2
    assert not Credentials("a", "b", "c", expires=1000.0).lasts(now=800.0, margin=300.0)


def test_a_wrong_clock_is_named_as_such(site):
    site.world.clock.advance(3600)
    with pytest.raises(Denied) as caught:
        identity(site.aws, CORE)
    assert caught.value.why.startswith("the clock of this machine is wrong: SignatureDoesNotMatch")


def test_root_is_refused(site, monkeypatch):
    key = site.cloud.new_access_key(MANAGEMENT, "")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key.id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key.secret)
    with pytest.raises(Denied, match="root user"):
        identity(Aws(on_client=join), CORE)


def test_no_credentials_and_no_profile_say_what_to_set(site, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Denied) as caught:
        identity(Aws(on_client=join), CORE)
    assert "AWS_PROFILE" in caught.value.fix
    with pytest.raises(UsageError, match="cannot open"):
        identity(Aws(profile="nobody", on_client=join), CORE)


def test_a_fleet_knows_which_organization_an_account_is_in(site):
    fleet = Fleet({"commercial": site.aws})
    fleet.place(CORE, "commercial")
    assert fleet.of(CORE) is site.aws
    with pytest.raises(NotFound):
        fleet.of(TEAM)


def test_discovery_walks_the_tree_once(site):
    cloud = site.cloud
    organization = next(iter(cloud.organizations.values()))
    for number in range(45):
        cloud.add_account(f"{300000000000 + number}", f"bulk-{number}", organization=organization)
    cloud.add_account("999999999999", "old", organization=organization, status="SUSPENDED")
    found = discover(site.aws, "commercial")
    by_id = {account.id: account for account in found.accounts}
    assert len(by_id) == 48
    assert by_id[CORE].ou == "/Workloads"
    assert by_id[TEAM].ou == "/"
    assert by_id[TEAM].organization == "commercial"
    assert [account.id for account in by_id.values() if account.management] == [MANAGEMENT]
    assert [account.id for account in found.suspended] == ["999999999999"]
    assert site.counted("ListOrganizationalUnitsForParent") == 2


def test_tags_are_read_when_asked_for(site):
    found = discover(site.aws, "commercial", tags=True)
    assert {account.id: account.tags for account in found.accounts}[TEAM] == {"team": "blue"}
    assert site.counted("ListTagsForResource") == 3


def test_a_cut_listing_is_no_listing(site):
    organization = next(iter(site.cloud.organizations.values()))
    for number in range(45):
        site.cloud.add_account(f"{300000000000 + number}", f"n{number}", organization=organization)
    site.world.switches.denied.add((MANAGEMENT, "organizations:ListAccountsForParent"))
    with pytest.raises(Denied):
        discover(site.aws, "commercial")


def test_a_caller_without_organizations_has_its_own_account(site, monkeypatch):
    key, secret = site.cloud.add_user(CORE, "lone", ["arn:aws:iam::aws:policy/IAMReadOnlyAccess"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    aws = Aws(on_client=join)
    assert [account.id for account in discover(aws, "solo", alone=True).accounts] == [CORE]
    with pytest.raises(Denied, match="organizations:DescribeOrganization") as caught:
        discover(aws, "solo")
    assert caught.value.code == "AccessDeniedException"


def test_accounts_without_a_way_in_are_named(site):
    organization = next(iter(site.cloud.organizations.values()))
    site.cloud.add_account("777777777777", "invited", organization=organization, invited=True)
    found = discover(site.aws, "commercial", enter=True)
    assert list(found.unreachable) == ["777777777777"]
    assert no_way_in(Aws(clients=SHARED), found.accounts).keys() == {"777777777777"}
