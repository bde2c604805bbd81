"""The AWS adapter while the service throttles, loses answers, cuts listings and shows writes late."""

import threading
from dataclasses import replace

import pytest
from aws_world import CORE, ESTATE, MANAGEMENT, small_organization
from saml_metadata import certificate

from ostiary.aws import account_reading, pacing, propagation
from ostiary.aws.account_reading import Readings
from ostiary.aws.iam_role import IamRoleKind
from ostiary.aws.saml_provider import SamlProviderKind
from ostiary.aws.trust_document import sid_prefix
from ostiary.aws.trust_statement import TrustStatementKind
from ostiary.errors import Conflict, Denied, GuardTripped, Interrupted, Unreachable
from ostiary.plan.resource import Key, Owner, Ref, Resource, Risk
from ostiary.saml import metadata

PROVIDER = f"arn:aws:iam::{CORE}:saml-provider/Okta"
SID = sid_prefix(ESTATE) + "std"
STATEMENT = {
    "Sid": SID,
    "Effect": "Allow",
    "Principal": {"Federated": PROVIDER},
    "Action": "sts:AssumeRoleWithSAML",
    "Condition": {"StringEquals": {"SAML:aud": "https://signin.aws.amazon.com/saml"}},
}
WANTED_ROLE = {
    "description": "",
    "max_session": 3600,
    "boundary": None,
    "managed_policies": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
    "inline_policies": {},
    "tags": {},
    "trust": [STATEMENT],
}


class Estate:
    """The three kinds over one set of readings."""

    def __init__(self, aws):
        self.readings = Readings(aws)
        self.provider = SamlProviderKind(ESTATE, self.readings, ["Okta"])
        self.role = IamRoleKind(ESTATE, self.readings)
        self.trust = TrustStatementKind(ESTATE, self.readings)

    def build(self):
        text = metadata.render("http://www.okta.com/x", certificate(1), "https://acme.okta.com/s")
        self.provider.create(Key("saml-provider", CORE, "Okta"), {"metadata": text})
        self.role.create(Key("iam-role", CORE, "Ops"), WANTED_ROLE)
        wanted = {"role": "Ops", "statement": STATEMENT}
        self.trust.create(Key("trust-statement", CORE, f"Ops/{SID}"), wanted)
        return text


@pytest.fixture
def site(monkeypatch):
    return small_organization(monkeypatch)


@pytest.fixture
def quick(monkeypatch):
    """The waits of a minute pass in a second."""
    monkeypatch.setattr(pacing, "LONGEST_WAIT", 0.02)
    monkeypatch.setattr(propagation, "LONGEST_STEP", 0.05)


def test_half_of_the_calls_throttled(site, quick):
    site.world.switches.throttle_share = 0.5
    estate = Estate(site.aws)
    estate.build()
    assert estate.role.look(Key("iam-role", CORE, "Ops")).owner is Owner.OURS
    assert len(site.core.saml_providers) == 1


def test_lost_answers_make_no_duplicate_and_no_conflict(site, quick):
    site.world.switches.lost_answer_share = 0.5
    Estate(site.aws).build()
    assert {role.name for role in site.core.roles} == {"Ops", "OrganizationAccountAccessRole"}
    assert site.core.roles["Ops"].managed == ("arn:aws:iam::aws:policy/ReadOnlyAccess",)


def test_writes_that_show_late_are_waited_for(site, quick):
    site.world.switches.visible_after = 0.4
    text = Estate(site.aws).build()
    after = Estate(site.again())
    found = after.provider.look(Key("saml-provider", CORE, "Okta"))
    assert after.provider.differences(found, {"metadata": text}) == ()
    assert after.role.differences(after.role.look(Key("iam-role", CORE, "Ops")), WANTED_ROLE) == ()
    assert after.trust.look(Key("trust-statement", CORE, f"Ops/{SID}")) is not None
    assert site.counted("CreateRole") <= 8


def test_a_listing_cut_between_pages_is_read_again_or_incomplete(site, quick):
    for number in range(1100):
        site.cloud.add_role(CORE, f"r{number}", {"Version": "2012-10-17", "Statement": []})
    site.world.switches.cut_page_share = 0.5
    assert len(Readings(site.aws).account(CORE).roles) == 1101


def test_what_is_forgotten_of_one_account_is_in_nobodys_way_in_another(site, monkeypatch):
    monkeypatch.setattr(account_reading, "look_at_provider", lambda *_: None)
    readings, done = Readings(site.aws), threading.Event()

    def read():
        for number in range(20_000):
            assert readings.provider(CORE, f"p{number}") is None
        done.set()

    reading = threading.Thread(target=read)
    reading.start()
    while reading.is_alive():
        readings.forget(MANAGEMENT)
    assert done.is_set()


def test_an_account_is_read_once_for_all_kinds_in_five_calls(site):
    Estate(site.aws).build()
    site.world.calls.clear()
    estate = Estate(site.again())
    for kind in (estate.provider, estate.role, estate.trust):
        assert kind.read(CORE, {}).complete
    inside = [call[1] for call in site.world.calls if call[2] == CORE or call[1] == "AssumeRole"]
    assert sorted(inside) == [
        "AssumeRole",
        "GetAccountAuthorizationDetails",
        "GetSAMLProvider",
        "ListAccountAliases",
        "ListRoles",
    ]


def test_a_denied_read_names_the_permission(site):
    site.world.switches.denied.add((CORE, "iam:ListRoles"))
    reading = Estate(site.aws).role.read(CORE, {})
    assert not reading.complete
    assert isinstance(reading.why, Denied)
    assert "allow iam:ListRoles" in reading.why.fix


def test_a_role_that_a_stack_owns_gets_a_snippet(site):
    tags = {"aws:cloudformation:stack-name": "StackSet-landing-1"}
    site.cloud.add_role(CORE, "Stacked", {"Version": "2012-10-17", "Statement": []}, tags=tags)
    kind = Estate(site.aws).trust
    key = Key("trust-statement", CORE, f"Stacked/{SID}")
    wanted = {"role": "Stacked", "statement": STATEMENT}
    (found,) = kind.read(CORE, {key.name: Resource(key, wanted)}).found
    assert (found.owner, found.owned_by) == (Owner.ELSEWHERE, "StackSet StackSet-landing-1")
    assert kind.differences(found, wanted) == ("statement",)
    assert '"sts:AssumeRoleWithSAML"' in kind.snippet(found, wanted)
    with pytest.raises(Conflict, match="belongs to StackSet"):
        kind.create(key, wanted)


def test_protected_roles_are_never_written(site):
    empty = {"Version": "2012-10-17", "Statement": []}
    site.cloud.add_role(CORE, "AWSReservedSSO_x", empty, path="/aws-reserved/sso.amazonaws.com/")
    estate = Estate(site.aws)
    key = Key("trust-statement", CORE, f"AWSReservedSSO_x/{SID}")
    with pytest.raises(GuardTripped):
        estate.trust.create(key, {"role": "AWSReservedSSO_x", "statement": STATEMENT})
    found = estate.role.look(Key("iam-role", CORE, "AWSReservedSSO_x"))
    assert found.protected
    with pytest.raises(GuardTripped):
        estate.role.update(found, {"description": "mine"})


def test_a_trust_policy_over_the_limit_is_told_at_plan_and_never_sent(site):
    filler = [
        {"Sid": f"S{n}", "Effect": "Allow", "Principal": {"AWS": CORE}, "Action": "sts:AssumeRole"}
        for n in range(23)
    ]
    site.cloud.add_role(CORE, "Full", {"Version": "2012-10-17", "Statement": filler})
    kind = Estate(site.aws).trust
    key = Key("trust-statement", CORE, f"Full/{SID}")
    planned = {
        **STATEMENT,
        "Principal": {"Federated": Ref(Key("saml-provider", CORE, "Okta"), "arn")},
    }
    resource = Resource(key, {"role": "Full", "statement": planned})
    absent = Resource(
        Key("trust-statement", CORE, f"Gone/{SID}"), {"role": "Gone", "statement": planned}
    )
    long, missing = kind.problems(CORE, {key.name: resource, absent.key.name: absent})
    assert "2,048" in long.why
    assert missing.code == "NoSuchEntity"
    with pytest.raises(Conflict, match="2,048"):
        kind.create(key, {"role": "Full", "statement": STATEMENT})
    assert site.counted("UpdateAssumeRolePolicy") == 0


def test_a_first_statement_is_a_trust_write_only_on_a_role_that_exists(site):
    site.cloud.add_role(CORE, "There", {"Version": "2012-10-17", "Statement": []})
    kind = Estate(site.aws).trust
    for role, risk in (("There", Risk.TRUST), ("New", Risk.NONE)):
        assert kind.risk("create", None, {"role": role, "statement": STATEMENT}) is risk


def test_the_last_statement_leaves_a_role_that_nobody_enters(site):
    estate = Estate(site.aws)
    estate.build()
    key = Key("trust-statement", CORE, f"Ops/{SID}")
    estate.trust.delete(estate.trust.look(key))
    (left,) = site.core.roles["Ops"].trust["Statement"]
    assert (left["Sid"], left["Effect"]) == ("OstiaryNobody", "Deny")
    estate.trust.create(key, {"role": "Ops", "statement": STATEMENT})
    assert site.core.roles["Ops"].trust["Statement"] == [STATEMENT]


def test_a_stop_ends_the_wait_and_lets_no_call_start(site):
    stopping = threading.Event()
    aws = site.again(stopping=stopping)
    aws.call("iam", "list_roles", account=CORE)
    site.world.switches.throttle_share = 1.0
    threading.Timer(0.2, stopping.set).start()
    with pytest.raises(Interrupted):
        aws.call("iam", "list_roles", account=CORE)
    before = len(site.world.calls)
    with pytest.raises(Interrupted):
        aws.call("iam", "list_roles", account=CORE)
    assert len(site.world.calls) == before


def test_a_lost_answer_of_a_write_that_is_not_repeatable_is_unknown(site):
    site.world.switches.lost_answer_share = 1.0
    with pytest.raises(Unreachable) as caught:
        site.aws.call("iam", "create_group", account=CORE, GroupName="x")
    assert caught.value.maybe_done


def test_a_name_that_differs_in_case_only_is_a_conflict_at_once(site):
    site.cloud.add_role(CORE, "ops", {"Version": "2012-10-17", "Statement": []})
    estate = Estate(site.aws)
    wanted = {**WANTED_ROLE, "trust": []}
    with pytest.raises(Conflict, match="ops exists, and IAM ignores case"):
        estate.role.create(Key("iam-role", CORE, "Ops"), wanted)


def test_an_edit_of_others_between_plan_and_write_stays(site):
    estate = Estate(site.aws)
    estate.build()
    key = Key("trust-statement", CORE, f"Ops/{SID}")
    found = estate.trust.look(key)
    theirs = {
        "Sid": "Theirs",
        "Effect": "Allow",
        "Principal": {"AWS": CORE},
        "Action": "sts:AssumeRole",
    }
    role = site.core.roles["Ops"]
    site.core.roles.put(replace(role, trust={**role.trust, "Statement": [STATEMENT, theirs]}))
    longer = {**STATEMENT, "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession"]}
    updated = estate.trust.update(found, {"role": "Ops", "statement": longer})
    assert theirs in site.core.roles["Ops"].trust["Statement"]
    estate.trust.delete(updated)
    assert site.core.roles["Ops"].trust["Statement"] == [theirs]
