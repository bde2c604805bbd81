"""Condition operators, on the IAM User Guide's tables and notes."""

from __future__ import annotations

import pytest

from ostiary.model.policy import AuthRequest, Policies, decide
from ostiary.model.policy_condition import condition_holds


def holds(operator, wanted, actual=None, key="k:x", **others):
    context = {name.lower(): value for name, value in others.items()}
    if actual is not None:
        context[key.lower()] = actual
    return condition_holds({operator: {key: wanted}}, context, context)


@pytest.mark.parametrize(
    ("operator", "wanted", "actual", "expected"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "a*", "ab", False),
        ("StringEquals", ["a", "b"], "b", True),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringNotEquals", ["a", "b"], "c", True),
        ("StringEqualsIgnoreCase", "a", "A", True),
        ("StringNotEqualsIgnoreCase", "a", "A", False),
        ("StringLike", "a*z?", "abczz", True),
        ("StringLike", "a*", "Ab", False),
        ("StringNotLike", "a*", "ab", False),
        ("NumericEquals", "10", "10.0", True),
        ("NumericNotEquals", 10, "11", True),
        ("NumericLessThan", "10", "9", True),
        ("NumericLessThanEquals", "10", "10", True),
        ("NumericGreaterThan", "10", "9", False),
        ("NumericGreaterThanEquals", "10", "10", True),
        ("DateEquals", "2026-11-23T10:00:00Z", "2026-11-23T12:00:00+02:00", True),
        ("DateNotEquals", "2026-11-23", "2026-11-24", True),
        ("DateLessThan", "2026-11-23T10:00:00Z", "2026-11-23T09:59:59Z", True),
        ("DateLessThanEquals", "2026", "2025-12-31", True),
        ("DateGreaterThan", "1760000000", "2026-01-01T00:00:00Z", True),
        ("DateGreaterThanEquals", "2026-11-23", "2026-11-22", False),
        ("Bool", "true", "true", True),
        ("Bool", True, "true", True),
        ("Bool", "false", "true", False),
        ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", True),
        ("BinaryEquals", "QmluYXJ5", "QmluYXJ6", False),
        ("IpAddress", "203.0.113.0/24", "203.0.113.7", True),
        ("IpAddress", "203.0.113.7", "203.0.113.7", True),
        ("IpAddress", ["203.0.113.0/24", "2001:DB8::/32"], "2001:db8::1", True),
        ("IpAddress", "203.0.113.0/24", "no address", False),
        ("NotIpAddress", "203.0.113.0/24", "198.51.100.1", True),
        ("ArnEquals", "arn:aws:sns:*:123:t-*", "arn:aws:sns:eu-west-1:123:t-1", True),
        ("ArnLike", "*", "arn:aws:sns:eu-west-1:123:t-1", True),
        ("ArnNotLike", "arn:aws:sns:*:123:*", "arn:aws:sns:eu-west-1:124:t", True),
        ("ArnNotEquals", "arn:aws:sns:*:123:*", "arn:aws:sns:eu-west-1:123:t", False),
    ],
)
def test_operators(operator, wanted, actual, expected):
    assert holds(operator, wanted, actual) is expected
    assert holds(operator + "IfExists", wanted, actual) is expected
    assert holds(operator.upper(), wanted, actual) is expected


def test_arn_parts_are_matched_one_by_one():
    pattern = "arn:aws:someservice:*:111122223333:finance/*"
    value = "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"
    assert holds("StringLike", pattern, value)
    assert not holds("ArnLike", pattern, value)


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("StringEquals", False),
        ("StringNotEquals", True),
        ("ArnNotLike", True),
        ("StringEqualsIfExists", True),
        ("StringNotEqualsIfExists", True),
        ("ForAllValues:StringEquals", True),
        ("ForAnyValue:StringEquals", False),
        ("ForAnyValue:StringNotEquals", False),
        ("Bool", False),
    ],
)
def test_a_missing_key(operator, expected):
    assert holds(operator, "true") is expected


def test_null_asks_whether_the_key_is_there():
    assert holds("Null", "true") is True
    assert holds("Null", "true", "x") is False
    assert holds("Null", "false", "x") is True
    assert holds("Null", False) is False


@pytest.mark.parametrize(
    ("operator", "wanted", "actual", "expected"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], ("a", "b"), True),
        ("ForAllValues:StringEquals", ["a", "b"], ("a", "c"), False),
        ("ForAllValues:StringEquals", ["a"], (), True),
        ("ForAnyValue:StringEquals", ["a", "b"], ("c", "b"), True),
        ("ForAnyValue:StringEquals", ["a"], (), False),
        ("ForAnyValue:StringLike", "team-*", ("x", "team-1"), True),
        ("ForAllValues:StringNotEquals", ["a"], ("b", "c"), True),
        ("ForAllValues:StringNotEquals", ["a"], ("a", "c"), False),
        ("ForAnyValue:StringNotEquals", ["a"], ("a", "c"), True),
        ("ForAnyValue:StringEqualsIfExists", ["a"], ("a",), True),
    ],
)
def test_set_operators(operator, wanted, actual, expected):
    assert holds(operator, wanted, actual) is expected


def test_keys_ignore_case_and_values_do_not():
    assert condition_holds({"StringEquals": {"AWS:UserName": "a"}}, {"aws:username": "a"}, {})


def test_several_operators_and_keys_must_all_hold():
    context = {"k:a": "1", "k:b": "2"}
    both = {"StringEquals": {"k:a": "1", "k:b": "2"}}
    assert condition_holds(both, context, context)
    assert not condition_holds({**both, "StringLike": {"k:a": "3*"}}, context, context)


def test_variables_in_conditions():
    assert holds("StringEquals", "${k:y}", "a", **{"k:y": "a"})
    assert holds("StringLike", "${k:y}/*", "a/b", **{"k:y": "a"})
    assert not holds("StringLike", "${k:y}", "abc", **{"k:y": "*"})
    assert holds("StringEquals", "${k:y, 'a'}", "a")
    assert holds("StringEquals", "${$}{k:y}", "${k:y}")
    assert holds("ArnLike", "arn:aws:iam::1:user/${k:y}", "arn:aws:iam::1:user/me", **{"k:y": "me"})
    assert not holds("StringEquals", "${k:y}", "a")  # no value equals nothing …
    assert holds("StringNotEquals", "${k:y}", "a")  # … and is unequal to everything


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEqual": {"k:x": "a"}},
        {"ForSomeValues:StringEquals": {"k:x": "a"}},
        {"NullIfExists": {"k:x": "true"}},
        {"NumericLessThan": {"k:x": "many"}},
        {"DateLessThan": {"k:x": "tomorrow"}},
        {"IpAddress": {"k:ip": "not/an/address"}},
        {"Bool": {"k:x": "perhaps"}},
        {"BinaryEquals": {"k:x": "€"}},
        {"StringEquals": "k:x"},
        ["StringEquals"],
    ],
)
def test_what_cannot_be_judged_never_allows_and_still_denies(condition):
    def statement(effect):
        return {"Effect": effect, "Action": "*", "Resource": "*", "Condition": condition}

    request = AuthRequest(
        "arn:aws:iam::1:user/u", "1", "s3:Get", "*", {"k:x": "1", "k:ip": "1.1.1.1"}
    )
    allow_all = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    assert not decide(request, Policies(identity=({"Statement": statement("Allow")},))).allowed
    denying = Policies(identity=(allow_all, {"Statement": statement("Deny")}))
    assert not decide(request, denying).allowed
