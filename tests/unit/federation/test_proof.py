"""Who can enter what by what is held, link by link; and the judgement of real sign-ins."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from ostiary.doors.federation.assertion_size import LIMIT, assertion_size
from ostiary.doors.federation.proof import (
    AppHeld,
    Held,
    OrgHeld,
    compare,
    computed,
    expected,
)
from ostiary.doors.federation.seen import GroupSeen, PersonSeen
from ostiary.doors.federation.sign_ins import Secret, perform, plan_sign_ins
from ostiary.errors import AssertionRefused, NotFound, Unreachable
from ostiary.model.access import Access, Entitlement
from ostiary.saml import assertion, metadata

WEB = "200000000001"
ADMIN_WEB = "group: eng, may: Admin, in: ['account:web'], console: std"
GROUP = f"aws#acme-web#Admin#{WEB}"
ROLE = f"arn:aws:iam::{WEB}:role/Admin"
PROVIDER = f"arn:aws:iam::{WEB}:saml-provider/Okta"
VALUE = f"{PROVIDER},{ROLE}"


@pytest.fixture(scope="module")
def identities():
    """Two keys with certificates, as an app has them."""
    found = []
    for number in (1, 2):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"app {number}")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(number)
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        found.append((key, certificate))
    return found


def text(identity, entity="http://www.okta.com/exk1"):
    return metadata.render(entity, identity[1], "https://acme.okta.com/sso")


@pytest.fixture
def built(build):
    return build(ADMIN_WEB)


@pytest.fixture
def held(built, wanted, identities):
    """The world as it is when ``built`` is applied."""
    xml = text(identities[0])
    settings = wanted(built, "okta-app")["AWS acme std"]["settings"]
    groups = (
        GroupSeen("g-eng", "eng", members=frozenset({"u-ann", "u-bob"})),
        GroupSeen("rg", GROUP, members=frozenset({"u-ann", "u-bob"})),
    )
    people = (PersonSeen("u-ann", "ann@x"), PersonSeen("u-bob", "bob@x", "SUSPENDED"))
    app = AppHeld("AWS acme std", settings, xml, groups=frozenset({"g-eng"}))
    (trust,) = (one["statement"] for one in wanted(built, "trust-statement").values())
    return Held(
        {"main": OrgHeld((app,), groups, people)},
        providers={PROVIDER: xml},
        trust={ROLE: {"Version": "2012-10-17", "Statement": [trust]}},
    )


def with_app(held, **changed):
    org = held.orgs["main"]
    settings = {**org.apps[0].settings, **changed.pop("settings", {})}
    app = replace(org.apps[0], settings=settings, **changed)
    return replace(held, orgs={"main": replace(org, apps=(app,))})


def with_group(held, group):
    org = held.orgs["main"]
    return replace(held, orgs={"main": replace(org, groups=(*org.groups, group))})


def test_what_is_applied_is_what_was_wanted(built, held):
    result = compare(expected(built), computed(held))
    assert result.holds
    assert result.expected == {Access("ann@x", Entitlement("aws", WEB, "Admin"))}
    assert result.as_json() == {
        "holds": True,
        "expected": 1,
        "actual": 1,
        "missing": [],
        "surplus": [],
    }


@pytest.mark.parametrize(
    "broken",
    [
        lambda held: replace(held, providers={}),
        lambda held: replace(held, trust={}),
        lambda held: replace(held, providers={PROVIDER: "junk"}),
        lambda held: with_app(held, groups=frozenset()),
        lambda held: with_app(held, metadata="junk"),
        lambda held: with_app(held, settings={"useGroupMapping": False}),
        lambda held: with_app(held, settings={"appFilter": "active_directory"}),
        lambda held: with_app(held, settings={"groupFilter": "("}),
        lambda held: with_app(held, settings={"roleValuePattern": "x"}),
    ],
)
def test_every_broken_link_is_missed(built, held, broken):
    (missing,) = compare(expected(built), computed(broken(held))).missing
    assert missing.login == "ann@x"


def test_the_provider_must_trust_this_app(built, held, identities):
    other_key = replace(held, providers={PROVIDER: text(identities[1])})
    other_app = replace(held, providers={PROVIDER: text(identities[0], "http://other")})
    assert not computed(other_key)
    assert not computed(other_app)


def test_conditions_of_the_trust_policy_count(held):
    trust = held.trust[ROLE]
    (statement,) = trust["Statement"]
    wrong = {**statement, "Condition": {"StringEquals": {"SAML:aud": "https://else.example/saml"}}}
    assert not computed(replace(held, trust={ROLE: {**trust, "Statement": [wrong]}}))
    deny = {**statement, "Sid": "Not", "Effect": "Deny", "Condition": {}}
    assert not computed(replace(held, trust={ROLE: {**trust, "Statement": [statement, deny]}}))


def test_a_rogue_role_group_is_surplus(built, held):
    rogue = GroupSeen("x", f"aws#any#Admin#{WEB}", members=frozenset({"u-cat"}))
    world = with_group(held, rogue)
    org = world.orgs["main"]
    org = replace(org, people=(*org.people, PersonSeen("u-cat", "cat@x")))
    world = with_app(replace(world, orgs={"main": org}), users=frozenset({"u-cat"}))
    (surplus,) = compare(expected(built), computed(world)).surplus
    assert surplus.login == "cat@x"


def test_unread_accounts_are_left_out(built, held):
    assert compare(expected(built), frozenset(), accounts=()).holds
    assert not compare(expected(built), frozenset(), accounts={WEB}).holds


SECRETS = {"ann@x": Secret("pw"), "cat@x": Secret("pw", "TOTP")}


@pytest.fixture
def response(identities):
    def make(*values):
        key, certificate = identities[0]
        xml = assertion.issue(
            issuer="http://www.okta.com/exk1",
            destination="https://signin.aws.amazon.com/saml",
            recipient="https://signin.aws.amazon.com/saml",
            audience="urn:amazon:webservices",
            name_id="ann@x",
            role_values=values,
            session_name="ann@x",
            session_duration=3600,
            key=key,
            certificate=certificate,
            now=datetime.now(UTC),
        )
        return base64.b64encode(xml).decode()

    return make


@pytest.fixture
def signed_in(estate, built, response):
    """Perform the sign-ins with an app that offers ``values`` to ann and nothing to anybody else."""

    def run(
        *values,
        enter=lambda sign_in, pair, assertion: f"arn:aws:sts::{WEB}:assumed-role/Admin/ann@x",
    ):
        def open_app(sign_in, secret):
            assert secret.password == "pw"
            if (sign_in.login, sign_in.console.name) == ("ann@x", "std"):
                return response(*values)
            raise NotFound("no app for this person")

        planned = plan_sign_ins(estate(ADMIN_WEB), built, SECRETS)
        return perform(planned, SECRETS, open_app, enter)

    return run


def test_everybody_signs_in_everywhere(signed_in):
    report = signed_in(VALUE)
    assert report.holds
    assert (report.expected, report.succeeded, len(report.results)) == (1, 1, 4)
    assert report.as_json()["people"][0]["entered"] == [ROLE]
    assert "pw" not in repr(SECRETS)


def test_a_role_too_many_is_found(signed_in):
    assert not signed_in(VALUE, VALUE.replace("/Admin", "/Other")).holds
    assert not signed_in().holds


def test_a_role_that_cannot_be_entered_is_found(signed_in):
    def refuse(*_):
        raise AssertionRefused("cannot enter", code="AccessDenied")

    report = signed_in(VALUE, enter=refuse)
    assert (report.holds, report.succeeded) == (False, 0)
    assert "cannot enter" in report.results[0].refusals[0]
    assert not signed_in(VALUE, enter=lambda *_: f"arn:aws:sts::{WEB}:assumed-role/Else/x").holds


def test_no_answer_is_no_proof_of_refusal(estate, built):
    def unreachable(*_):
        raise Unreachable("no answer from Okta")

    report = perform(plan_sign_ins(estate(ADMIN_WEB), built, ["cat@x"]), SECRETS, unreachable, None)
    assert not report.holds


def test_the_estimate_of_an_assertion_is_on_the_safe_side(response):
    values = [VALUE.replace("Admin", f"Role{number}") for number in range(250)]
    real = len(response(*values))
    assert real <= assertion_size(values) <= real * 1.1
    assert assertion_size(values * 2) > LIMIT
