"""Our trust statement comes and goes; whatever stood in the trust policy stays as it was, and means what it meant.

The shapes are those of the IAM User Guide's principal-bearing examples, written anew.
"""

from __future__ import annotations

import copy
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.aws.policy_document import same
from ostiary.aws.trust_document import (
    NOBODY,
    foreign,
    sid_prefix,
    statement_of,
    statements,
    with_statement,
    without_statement,
)
from ostiary.model.policy import Caller, trust_decision
from ostiary.model.policy_grammar import problems

HOME, OTHER = "111122223333", "444455556666"
SAML = f"arn:aws:iam::{HOME}:saml-provider"
OIDC = f"arn:aws:iam::{HOME}:oidc-provider"
SID = sid_prefix("acme") + "Okta"
OURS = {
    "Sid": SID,
    "Effect": "Allow",
    "Principal": {"Federated": f"{SAML}/Okta"},
    "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession"],
    "Condition": {"StringEquals": {"SAML:aud": "https://signin.aws.amazon.com/saml"}},
}

PRINCIPALS = {
    "everybody": "*",
    "every account": {"AWS": "*"},
    "account id": {"AWS": OTHER},
    "account root": {"AWS": f"arn:aws:iam::{OTHER}:root"},
    "list of one": {"AWS": [OTHER]},
    "accounts both ways": {"AWS": [OTHER, f"arn:aws:iam::{HOME}:root"]},
    "user": {"AWS": f"arn:aws:iam::{HOME}:user/carlossalazar"},
    "users": {"AWS": [f"arn:aws:iam::{HOME}:user/{n}" for n in ("mateo", "ana", "zoe")]},
    "user with path": {"AWS": f"arn:aws:iam::{OTHER}:user/division_abc/ana"},
    "role": {"AWS": f"arn:aws:iam::{OTHER}:role/examplerole"},
    "session": {"AWS": f"arn:aws:sts::{HOME}:assumed-role/examplerole/ana"},
    "federated user": {"AWS": f"arn:aws:sts::{HOME}:federated-user/ana"},
    "deleted role": {"AWS": "AROAEXAMPLEDELETED01"},
    "govcloud account": {"AWS": f"arn:aws-us-gov:iam::{OTHER}:root"},
    "service": {"Service": "ec2.amazonaws.com"},
    "services": {"Service": ["ecs.amazonaws.com", "elasticloadbalancing.amazonaws.com"]},
    "service in china": {"Service": "ec2.amazonaws.com.cn"},
    "account and service": {"AWS": HOME, "Service": "lambda.amazonaws.com"},
    "another saml provider": {"Federated": f"{SAML}/ADFS"},
    "saml providers": {"Federated": [f"{SAML}/ADFS", f"{SAML}/Shibboleth"]},
    "our provider, by hand": {"Federated": f"{SAML}/Okta"},
    "oidc provider": {"Federated": f"{OIDC}/token.actions.githubusercontent.com"},
    "web identity": {"Federated": "cognito-identity.amazonaws.com"},
    "provider and account": {"Federated": "accounts.google.com", "AWS": [HOME, OTHER]},
    "canonical user": {"CanonicalUser": "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd"},
}  # fmt: skip
CONDITIONS = {
    "external id": {"StringEquals": {"sts:ExternalId": "12345"}},
    "second factor": {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
    "second factor as JSON": {"Bool": {"aws:MultiFactorAuthPresent": True}},
    "fresh second factor": {"NumericLessThan": {"aws:MultiFactorAuthAge": 3600}},
    "addresses": {"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "203.0.113.0/24"]}},
    "period": {
        "DateGreaterThan": {"aws:CurrentTime": "2026-11-01T12:00:00Z"},
        "DateLessThan": {"aws:CurrentTime": "2026-12-30T12:00:00Z"},
    },
    "organization": {"StringEquals": {"aws:PrincipalOrgID": ["o-a1b2c3d4e5"]}},
    "session name": {"StringLike": {"sts:RoleSessionName": "${aws:username}"}},
    "tags": {"ForAllValues:StringEquals": {"sts:TransitiveTagKeys": ["Project", "Department"]}},
    "principal by condition": {"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::*:role/ops-*"}},
    "source account": {"StringEquals": {"aws:SourceAccount": HOME}, "Null": {"aws:x": "false"}},
    "source identity": {"StringEqualsIgnoreCase": {"sts:SourceIdentity": "Ana"}},
}
ACTIONS = {
    "tagging": ["sts:AssumeRole", "sts:TagSession"],
    "list of one": ["sts:AssumeRole"],
    "wildcard": "sts:Assume*",
    "lower case": "sts:assumerole",
    "source identity": ["sts:SetSourceIdentity", "sts:AssumeRole"],
}


def allow(principal, **more):
    return {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}


def doc(statement, **top):
    return {"Version": "2012-10-17", "Statement": statement, **top}


ANA = f"arn:aws:iam::{HOME}:user/ana"
ONE, TWO = allow({"AWS": OTHER}), allow({"Service": "ec2.amazonaws.com"}, Sid="Machines")
DENY = {"Effect": "Deny", "Principal": {"AWS": ANA}, "Action": "sts:AssumeRole", "Sid": "NotAna"}
SPARING = {
    "Effect": "Deny",
    "NotPrincipal": {"AWS": [ANA, f"arn:aws:iam::{HOME}:root"]},
    "Action": "sts:AssumeRole",
}

SHAPES = {
    **{f"principal: {name}": doc([allow(who)]) for name, who in PRINCIPALS.items()},
    **{
        f"condition: {name}": doc([allow({"AWS": HOME}, Condition=condition)])
        for name, condition in CONDITIONS.items()
    },
    **{f"action: {name}": doc([allow("*") | {"Action": a}]) for name, a in ACTIONS.items()},
    "one object": doc(ONE),
    "one object with Sid": doc(TWO),
    "one object, a list inside": doc(allow(PRINCIPALS["users"])),
    "one denying object": doc(DENY),
    "one object with NotPrincipal": doc(SPARING),
    "two statements": doc([ONE, TWO]),
    "the same statement twice": doc([ONE, ONE]),
    "allow and deny": doc([ONE, DENY]),
    "deny first": doc([DENY, ONE]),
    "allow and NotPrincipal": doc([ONE, SPARING]),
    "NotPrincipal with Allow": doc([SPARING | {"Effect": "Allow"}]),
    "NotAction": doc([{"Effect": "Deny", "Principal": "*", "NotAction": "sts:AssumeRole"}]),
    "empty Sid": doc([allow("*", Sid="")]),
    "empty condition": doc([allow({"AWS": HOME}, Condition={})]),
    "Sid almost ours": doc([allow({"AWS": HOME}, Sid=SID + "2"), allow("*", Sid=SID[:-1])]),
    "Sid of another estate": doc([OURS | {"Sid": sid_prefix("other") + "Okta"}]),
    "ours without Sid": doc([{k: v for k, v in OURS.items() if k != "Sid"}, ONE]),
    "ours in lower case": doc([OURS | {"Sid": SID.lower()}]),
    "with Id": doc([ONE, TWO], Id="cd3ad3d9-2776-4ef1-a904-4c229d1642ee"),
    "old version": doc([ONE]) | {"Version": "2008-10-17"},
    "old version, one object": doc(TWO) | {"Version": "2008-10-17"},
    "no version": {"Statement": [ONE]},
    "no version, one object": {"Statement": TWO},
    "no version, a literal that looks like a variable": {
        "Statement": [allow({"AWS": HOME}, Condition=CONDITIONS["session name"])]
    },
    "many statements": doc([allow({"AWS": f"{n:012}"}, Sid=f"S{n}") for n in range(9)]),
}
CALLERS = [
    (Caller.of(arn), context)
    for arn, context in itertools.product(
        (
            ANA,
            f"arn:aws:iam::{OTHER}:role/examplerole",
            f"arn:aws:sts::{HOME}:assumed-role/ops-1/ana",
        ),
        (
            {},
            {"sts:ExternalId": "12345", "aws:MultiFactorAuthPresent": "true"},
            {"aws:username": "ana", "sts:RoleSessionName": "ana"},
        ),
    )
] + [(Caller("service", "ec2.amazonaws.com"), {}), (Caller("federated", f"{SAML}/ADFS"), {})]


def entering(document):
    """Who of the callers may do what: the meaning of the foreign part."""
    return [
        trust_decision(document, caller=caller, action=action, context=context).allowed
        for caller, context in CALLERS
        for action in ("sts:AssumeRole", "sts:AssumeRoleWithSAML")
    ]


def test_there_are_as_many_shapes_as_in_the_guide():
    assert len({repr(shape) for shape in SHAPES.values()}) == len(SHAPES) >= 59


@pytest.mark.parametrize("name", SHAPES)
def test_adding_then_removing_leaves_the_original(name):
    original = copy.deepcopy(SHAPES[name])
    merged = with_statement(original, OURS)
    assert statement_of(merged, SID) == OURS
    assert same(without_statement(merged, SID), SHAPES[name])
    assert original == SHAPES[name]  # and the value that was given is not written to


@pytest.mark.parametrize("name", SHAPES)
def test_foreign_statements_stay_to_the_letter_and_in_order(name):
    merged = with_statement(SHAPES[name], OURS)
    assert [one for one in statements(merged) if one.get("Sid") != SID] == statements(SHAPES[name])
    assert foreign(merged, SID) == foreign(SHAPES[name], SID)
    for element in ("Version", "Id"):
        assert merged.get(element) == SHAPES[name].get(element)


@pytest.mark.parametrize("name", SHAPES)
def test_foreign_statements_mean_what_they_meant(name):
    assert entering(with_statement(SHAPES[name], OURS)) == entering(SHAPES[name])


@pytest.mark.parametrize("name", SHAPES)
def test_adding_twice_is_adding_once(name):
    once = with_statement(SHAPES[name], OURS)
    assert with_statement(once, OURS) == once
    renewed = with_statement(once, OURS | {"Action": "sts:AssumeRoleWithSAML"})
    assert len(statements(renewed)) == len(statements(once))
    assert same(without_statement(renewed, SID), SHAPES[name])


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(SHAPES)), min_size=1, max_size=4),
    st.permutations(["Okta", "Gov", "Lab"]),
)
def test_several_of_ours_come_and_go_in_any_order(names, order):
    mixed = doc([one for name in names for one in statements(SHAPES[name])])
    ours = {tail: OURS | {"Sid": sid_prefix("acme") + tail + "X"} for tail in order}
    merged = mixed
    for statement in ours.values():
        merged = with_statement(merged, statement)
    for tail in sorted(order):
        merged = without_statement(merged, ours[tail]["Sid"])
    assert same(merged, mixed)


def test_a_policy_that_was_ours_alone_then_lets_nobody_in():
    left = without_statement(doc([OURS]), SID)
    assert statements(left) == [NOBODY]
    assert not any(problem.severity == "malformed" for problem in problems(left, trust=True))
    assert not any(entering(left))
    assert statements(with_statement(left, OURS)) == [OURS]
