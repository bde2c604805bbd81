"""Assertions that do not become credentials: the code, the words, the status."""

import base64
from datetime import timedelta

import pytest

PROD, TEST, GOV = "111111111111", "222222222222", "333333333333"
SIGN_IN = "https://signin.aws.amazon.com/saml"
DENIED = ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML", 403)


def test_unsigned(small, stranger):
    text = base64.b64decode(small.response(idp=stranger)).decode()
    for _ in range(2):
        start, end = text.index("<ds:Signature "), text.index("</ds:Signature>") + 15
        text = text[:start] + text[end:]
    unsigned = base64.b64encode(text.encode()).decode()
    assert small.refusal(unsigned) == ("InvalidIdentityToken", "Response signature invalid", 400)


def test_a_strangers_key(small, stranger):
    code, message, status = small.refusal(small.response(idp=stranger))
    assert (code, message, status) == ("InvalidIdentityToken", "Response signature invalid", 400)


def test_tampered_role(small):
    text = base64.b64decode(small.response(small.pair(PROD, "ReadOnly")))
    tampered = base64.b64encode(text.replace(b"role/ReadOnly", b"role/Ops")).decode()
    assert small.refusal(tampered)[:2] == ("InvalidIdentityToken", "Response signature invalid")


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        (
            {"issuer": "http://www.okta.com/exk2"},
            "InvalidIdentityToken",
            "Issuer not present in specified provider",
        ),
        (
            {"audience": "urn:amazon:webservices:govcloud"},
            "InvalidIdentityToken",
            "required audience",
        ),
        (
            {"recipient": "https://signin.amazonaws-us-gov.com/saml"},
            "InvalidIdentityToken",
            "Recipient",
        ),
        (
            {"recipient": "https://nowhere-1.signin.aws.amazon.com/saml"},
            "InvalidIdentityToken",
            "Recipient",
        ),
        (
            {"session_name": ""},
            "InvalidIdentityToken",
            "RoleSessionName is required in AuthnResponse",
        ),
        (
            {"session_name": "two words"},
            "InvalidIdentityToken",
            "RoleSessionName in AuthnResponse must match",
        ),
        ({"name_id": ""}, "AccessDenied", "Not authorized"),
        ({"role_values": ()}, "AccessDenied", "Not authorized"),
    ],
)
def test_what_the_assertion_says(small, changes, code, words):
    found, message, status = small.refusal(small.response(**changes))
    assert found == code
    assert words in message
    assert status == (403 if code == "AccessDenied" else 400)


def test_expired(small):
    response = small.response()
    small.world.clock.advance(301)
    assert small.refusal(response) == (
        "ExpiredTokenException",
        "Token must be redeemed within 5 minutes of issuance",
        400,
    )
    late = small.world.clock.datetime() - timedelta(seconds=60)
    short = small.response(now=late, lifetime=timedelta(seconds=20))
    assert small.refusal(short)[:2] == ("ExpiredTokenException", "Response has expired")


def test_not_yet_valid(small):
    ahead = small.world.clock.datetime() + timedelta(minutes=2)
    assert small.refusal(small.response(now=ahead))[0] == "InvalidIdentityToken"


def test_role_outside_the_assertion(small):
    assert small.refusal(small.response(small.pair(PROD, "ReadOnly"))) == DENIED
    assert small.refusal(small.response(small.pair(PROD).replace("Ops", "ops"))) == DENIED


def test_provider_of_another_account(small):
    _, other = small.arns(TEST)
    code, message, status = small.refusal(PrincipalArn=other)
    assert (code, status) == ("AccessDenied", 403)
    assert message == "Principal exists outside the account of the Role being assumed"


def test_a_pair_across_accounts_in_the_assertion_is_no_pair(small):
    role_arn, provider_arn = small.arns(PROD)
    crossed = f"{provider_arn.replace(PROD, TEST)},{role_arn}"
    assert small.refusal(small.response(crossed)) == DENIED


def test_the_provider_of_the_same_name_elsewhere_does_not_count(small):
    """Signed by the provider of one account, presented with the provider of another that has other keys."""
    small.cloud.account(PROD).saml_providers.remove("Okta")
    assert "Specified provider doesn't exist" in small.refusal()[1]


def test_another_provider_of_the_account(small, stranger, make_trust):
    small.add_provider(PROD, "Other", stranger.metadata)
    both = small.response(small.pair(PROD), small.pair(PROD, provider="Other"))
    assert small.refusal(both, provider="Other")[:2] == (
        "InvalidIdentityToken",
        "Response signature invalid",
    )
    theirs = small.response(small.pair(PROD, provider="Other"), idp=stranger)
    assert small.refusal(theirs, provider="Other") == DENIED  # the trust policy names only Okta


def test_role_that_does_not_exist(small):
    assert small.refusal(small.response(small.pair(PROD, "Gone")), role="Gone") == DENIED


def test_a_role_with_a_path_is_another_role(small, make_trust):
    small.cloud.add_role(PROD, "Deep", make_trust(PROD), path="/team/")
    assert small.refusal(small.response(small.pair(PROD, "Deep")), role="Deep") == DENIED
    assert small.assume(small.response(small.pair(PROD, "team/Deep")), role="team/Deep")


def test_reserved_roles(small, make_trust):
    name = "AWSReservedSSO_Admin_0123456789abcdef"
    small.cloud.add_role(PROD, name, make_trust(PROD))
    assert small.refusal(small.response(small.pair(PROD, name)), role=name) == DENIED


def test_suspended_account(small):
    small.cloud.account(PROD).status = "SUSPENDED"
    assert small.refusal()[0] == "InvalidIdentityToken"


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"SAML:aud": "https://eu-west-1.signin.aws.amazon.com/saml"}},
        {"StringEquals": {"SAML:iss": "http://www.okta.com/exk2"}},
        {"StringEquals": {"SAML:sub": "eve@acme.example"}},
        {"StringEquals": {"SAML:sub_type": "persistent"}},
        {"StringEquals": {"SAML:namequalifier": "AAAA"}},
        {"StringEquals": {"aws:PrincipalTag/team": "core"}},
        {"DateGreaterThan": {"aws:CurrentTime": "2027-01-01T00:00:00Z"}},
    ],
)
def test_trust_conditions_that_do_not_hold(small, make_trust, condition):
    small.change_role(PROD, "Ops", trust=make_trust(PROD, condition=condition))
    assert small.refusal() == DENIED


def test_trust_that_denies_or_names_nobody(small, make_trust):
    allowed = make_trust(PROD)
    denied = {**allowed["Statement"][0], "Effect": "Deny"}
    small.change_role(PROD, "Ops", trust={**allowed, "Statement": [*allowed["Statement"], denied]})
    assert small.refusal() == DENIED
    small.change_role(PROD, "Ops", trust={**allowed, "Statement": []})
    assert small.refusal() == DENIED


def test_duration(small):
    assert small.refusal(DurationSeconds=7201) == (
        "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        400,
    )
    for wrong in (899, 43_201):
        assert small.refusal(DurationSeconds=wrong)[0] == "ValidationError"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"RoleArn": "arn:aws:iam::111111111111:user/Ops"}, "Request ARN is invalid"),
        ({"RoleArn": "arn:aws:iam::1:role/Ops-and-more-letters"}, ""),
        ({"PrincipalArn": "arn:aws:iam::111111111111:role/Okta"}, "Principal ARN is invalid"),
        ({"RoleArn": "short"}, "roleArn"),
        ({"SAMLAssertion": "abc"}, "greater than or equal to 4"),
        ({"SAMLAssertion": "A" * 100_001}, "less than or equal to 100000"),
    ],
)
def test_parameters(small, params, words):
    code, message, _ = small.refusal(**params)
    assert code in {"ValidationError", "AccessDenied"}
    assert words in message


def test_not_base64(small):
    code, message, _ = small.refusal("%%%%")
    assert code == "InvalidIdentityToken"
    assert message.startswith("Invalid base64 SAMLResponse")


def test_a_provider_that_demands_encryption(small, idp):
    small.add_provider(PROD, "Okta", idp.metadata, encryption_mode="Required")
    assert small.refusal()[0] == "InvalidIdentityToken"


def test_session_policy_that_does_not_exist_or_is_malformed(small):
    gone = [{"arn": f"arn:aws:iam::{PROD}:policy/Gone"}]
    assert small.refusal(PolicyArns=gone)[0] == "ValidationError"
    assert small.refusal(Policy="{")[0] == "MalformedPolicyDocument"


def test_tags_beyond_the_packed_size(small, make_trust):
    small.change_role(PROD, "Ops", trust=make_trust(PROD, more=["sts:TagSession"]))
    tags = {f"key-{n}": "v" * 250 for n in range(10)}
    assert small.refusal(small.response(principal_tags=tags))[0] == "PackedPolicyTooLarge"


def test_a_fresh_provider_is_not_visible_at_once(small, idp):
    shelf = small.cloud.account(PROD).saml_providers
    provider = shelf["Okta"]
    shelf.remove("Okta")
    shelf.put(provider, small.world.clock.now() + 5)
    assert "Specified provider doesn't exist" in small.refusal()[1]
    small.world.clock.advance(6)
    assert small.assume()["Credentials"]
