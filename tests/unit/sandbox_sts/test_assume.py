"""Assertions that become credentials."""

import base64
import hashlib
from datetime import timedelta

import pytest

from ostiary.saml import assertion, metadata

PROD, TEST, GOV = "111111111111", "222222222222", "333333333333"
SIGN_IN = "https://signin.aws.amazon.com/saml"


def test_the_whole_answer(small):
    answer = small.assume()
    role = small.cloud.account(PROD).roles["Ops"]
    session = small.cloud.keys[answer["Credentials"]["AccessKeyId"]]
    assert answer["Credentials"]["SecretAccessKey"] == session.secret
    assert answer["Credentials"]["SessionToken"] == session.token
    assert answer["Credentials"]["Expiration"] == small.world.clock.now() + 3600
    assert answer["AssumedRoleUser"] == {
        "AssumedRoleId": f"{role.id}:ada@acme.example",
        "Arn": f"arn:aws:sts::{PROD}:assumed-role/Ops/ada@acme.example",
    }
    assert answer["Subject"] == "ada@acme.example"
    assert answer["SubjectType"].endswith(":unspecified")
    assert answer["Issuer"] == "http://www.okta.com/exk1acmeacmeacmeacme"
    assert answer["Audience"] == SIGN_IN
    digest = hashlib.sha1(f"{answer['Issuer']}{PROD}/Okta".encode()).digest()
    assert answer["NameQualifier"] == base64.b64encode(digest).decode()
    assert not {"PackedPolicySize", "SourceIdentity"} & set(answer)


def test_one_assertion_serves_every_role_until_five_minutes(small):
    response = small.response(small.pair(PROD), small.pair(PROD, "ReadOnly"), small.pair(TEST))
    for _ in range(2):
        for account, role in ((PROD, "Ops"), (PROD, "ReadOnly"), (TEST, "Ops")):
            arn = small.assume(response, account, role)["AssumedRoleUser"]["Arn"]
            assert f"{account}:assumed-role/{role}/" in arn
        small.world.clock.advance(149)
    small.world.clock.advance(3)
    assert small.refusal(response)[0] == "ExpiredTokenException"


def test_either_order_of_the_pair(small):
    role_arn, provider_arn = small.arns(PROD)
    assert small.assume(small.response(f"{role_arn},{provider_arn}"))["Credentials"]


def test_base64_in_lines(small):
    lines = base64.encodebytes(base64.b64decode(small.response())).decode()
    assert small.assume(lines)["Credentials"]


def test_a_regional_endpoint(small, make_trust):
    regional = "https://eu-central-1.signin.aws.amazon.com/saml"
    small.change_role(PROD, "Ops", trust=make_trust(PROD, audience=[SIGN_IN, regional]))
    response = small.response(recipient=regional, destination=regional)
    assert small.assume(response)["Audience"] == regional


def test_govcloud(small):
    url = "https://signin.amazonaws-us-gov.com/saml"
    response = small.response(
        small.pair(GOV), recipient=url, destination=url, audience="urn:amazon:webservices:govcloud"
    )
    arn = small.assume(response, GOV)["AssumedRoleUser"]["Arn"]
    assert arn == f"arn:aws-us-gov:sts::{GOV}:assumed-role/Ops/ada@acme.example"


def test_both_keys_of_a_rotation(small, idp, stranger):
    both = metadata.render(
        "http://www.okta.com/exk1acmeacmeacmeacme",
        [idp.certificate, stranger.certificate],
        "https://acme.okta.com/sso",
    )
    small.add_provider(PROD, "Okta", both)
    for signer in (idp, stranger):
        assert small.assume(small.response(idp=signer))["Credentials"]


@pytest.mark.parametrize("asked", [900, 3600, 7200])
def test_the_client_chooses_the_duration(small, asked):
    answer = small.assume(small.response(session_duration=900), DurationSeconds=asked)
    assert answer["Credentials"]["Expiration"] == small.world.clock.now() + asked


def test_session_tags_need_permission_and_reach_the_session(small, make_trust):
    response = small.response(principal_tags={"team": "core"})
    assert small.refusal(response)[0] == "AccessDenied"
    small.change_role(PROD, "Ops", trust=make_trust(PROD, more=["sts:TagSession"]))
    answer = small.assume(response)
    assert small.cloud.keys[answer["Credentials"]["AccessKeyId"]].tags == {"team": "core"}
    assert answer["PackedPolicySize"] == 1


def test_a_tag_in_a_trust_condition(small, make_trust):
    condition = {"StringEquals": {"SAML:aud": SIGN_IN, "aws:RequestTag/team": "core"}}
    asks = make_trust(PROD, more=["sts:TagSession"], condition=condition)
    small.change_role(PROD, "Ops", trust=asks)
    assert small.assume(small.response(principal_tags={"team": "core"}))["Credentials"]
    assert small.refusal(small.response(principal_tags={"team": "sales"}))[0] == "AccessDenied"
    assert small.refusal()[0] == "AccessDenied"


def test_session_policies_limit_the_session(small):
    policy = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
    )
    read_only = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    answer = small.assume(Policy=policy, PolicyArns=[{"arn": read_only}])
    session = small.cloud.keys[answer["Credentials"]["AccessKeyId"]]
    assert len(session.session_policies) == 2
    assert 0 < answer["PackedPolicySize"] <= 100


def test_what_the_session_remembers(small):
    answer = small.assume()
    session = small.cloud.keys[answer["Credentials"]["AccessKeyId"]]
    assert session.context == {
        "aws:FederatedProvider": f"arn:aws:iam::{PROD}:saml-provider/Okta",
        "saml:namequalifier": answer["NameQualifier"],
        "saml:sub": "ada@acme.example",
        "saml:sub_type": answer["SubjectType"],
    }


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"SAML:iss": "http://www.okta.com/exk1acmeacmeacmeacme"}},
        {
            "StringLike": {
                "SAML:sub": "*@acme.example",
                "SAML:aud": "https://*signin.aws.amazon.com/saml",
            }
        },
        {"StringEquals": {"saml:doc": f"{PROD}/Okta", "sts:RoleSessionName": "ada@acme.example"}},
        {"DateLessThan": {"aws:CurrentTime": "2026-11-23T12:00:01Z"}},
    ],
)
def test_trust_conditions_that_hold(small, make_trust, condition):
    small.change_role(PROD, "Ops", trust=make_trust(PROD, condition=condition))
    assert small.assume()["Credentials"]


def test_a_clock_that_is_ahead(small):
    issued = small.world.clock.datetime() + timedelta(seconds=25)
    assert small.assume(small.response(now=issued))["Credentials"]


def test_source_identity_needs_permission(small, make_trust):
    name = "https://aws.amazon.com/SAML/Attributes/SourceIdentity"
    response = small.response(more_attributes={name: ["ada@acme.example"]})
    assert small.refusal(response)[0] == "AccessDenied"
    small.change_role(PROD, "Ops", trust=make_trust(PROD, more=["sts:SetSourceIdentity"]))
    answer = small.assume(response)
    session = small.cloud.keys[answer["Credentials"]["AccessKeyId"]]
    assert answer["SourceIdentity"] == session.source_identity == "ada@acme.example"


def test_transitive_tags(small, make_trust):
    name = "https://aws.amazon.com/SAML/Attributes/TransitiveTagKeys"
    small.change_role(PROD, "Ops", trust=make_trust(PROD, more=["sts:TagSession"]))
    response = small.response(principal_tags={"team": "core"}, more_attributes={name: ["team"]})
    answer = small.assume(response)
    session = small.cloud.keys[answer["Credentials"]["AccessKeyId"]]
    assert session.transitive_tags == ("team",)


def test_the_session_ends_with_that_of_the_identity_provider(small, idp):
    end = small.world.clock.datetime() + timedelta(minutes=20)
    stated = f'<saml2:AuthnStatement SessionNotOnOrAfter="{end.isoformat()}" '
    unsigned = base64.b64decode(small.response()).decode()
    for _ in range(2):
        start, stop = unsigned.index("<ds:Signature "), unsigned.index("</ds:Signature>") + 15
        unsigned = unsigned[:start] + unsigned[stop:]
    start, stop = unsigned.index("<saml2:Assertion "), unsigned.index("</saml2:Assertion>") + 18
    changed = unsigned[start:stop].replace("<saml2:AuthnStatement ", stated)
    changed = changed.replace("</saml2:Issuer>", "</saml2:Issuer><!--signature-->", 1)
    signed = assertion._signed(changed, idp.key, idp.certificate)
    response = base64.b64encode((unsigned[:start] + signed + unsigned[stop:]).encode()).decode()
    answer = small.assume(response, DurationSeconds=3600)
    assert answer["Credentials"]["Expiration"] == end.timestamp()
