"""The decision order, on the examples of the IAM User Guide."""

from __future__ import annotations

from ostiary.model.policy import AuthRequest, Caller, Policies, decide, trust_decision

USER = "arn:aws:iam::111122223333:user/Carlos"
ALLOW_S3 = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
}


def request(
    action: str = "s3:GetObject", resource: str = "*", principal: str = USER, **context: str
) -> AuthRequest:
    return AuthRequest(principal, "111122223333", action, resource, context)


def test_nothing_is_allowed_by_default():
    decision = decide(request(), Policies())
    assert not decision.allowed
    assert decision.reason == "no identity-based policy allows the s3:GetObject action"


def test_identity_policy_allows():
    assert decide(request(), Policies(identity=(ALLOW_S3,))).allowed


def test_explicit_deny_wins():
    deny = {"Statement": [{"Sid": "No", "Effect": "Deny", "Action": "s3:Get*", "Resource": "*"}]}
    decision = decide(request(), Policies(identity=(ALLOW_S3, deny)))
    assert not decision.allowed
    assert decision.reason == "explicit deny in an identity-based policy"
    assert decision.sid == "No"


def test_trust_by_saml():
    provider = "arn:aws:iam::111122223333:saml-provider/Okta"
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Federated": provider},
            "Action": "sts:AssumeRoleWithSAML",
            "Condition": {"StringEquals": {"SAML:aud": "https://signin.aws.amazon.com/saml"}},
        },
    }
    caller = Caller("federated", provider)
    good = {"SAML:aud": "https://signin.aws.amazon.com/saml"}
    assert trust_decision(
        trust, caller=caller, action="sts:AssumeRoleWithSAML", context=good
    ).allowed
    assert not trust_decision(
        trust, caller=caller, action="sts:AssumeRoleWithSAML", context={}
    ).allowed
    assert not trust_decision(trust, caller=caller, action="sts:AssumeRole", context=good).allowed
