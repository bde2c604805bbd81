"""Merging one statement into a trust policy: the figures that the kind relies on."""

from ostiary.aws.policy_document import canonical, same, size, text_of
from ostiary.aws.trust_document import (
    NOBODY,
    providers_named,
    sid_prefix,
    snippet,
    statement_of,
    statements,
    with_statement,
    without_statement,
)

SID = sid_prefix("acme") + "std"
OURS = {
    "Sid": SID,
    "Effect": "Allow",
    "Principal": {"Federated": "arn:aws:iam::111122223333:saml-provider/Okta"},
    "Action": "sts:AssumeRoleWithSAML",
}
THEIRS = {
    "Effect": "Allow",
    "Principal": {"Service": "ec2.amazonaws.com"},
    "Action": "sts:AssumeRole",
}


def test_the_prefix_is_letters_and_digits_and_of_the_estate():
    assert sid_prefix("acme").isalnum()
    assert len(sid_prefix("acme")) == len("Ostiary") + 8
    assert sid_prefix("acme") != sid_prefix("acme2")


def test_a_single_object_stays_what_it_means():
    document = {"Version": "2012-10-17", "Id": "x", "Statement": THEIRS}
    merged = with_statement(document, OURS)
    assert statements(merged) == [THEIRS, OURS]
    assert merged["Id"] == "x"
    assert same(without_statement(merged, SID), document)


def test_ours_is_replaced_in_its_place():
    document = {"Statement": [OURS, THEIRS]}
    merged = with_statement(
        document, {**OURS, "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession"]}
    )
    assert [one.get("Sid") for one in statements(merged)] == [SID, None]


def test_nobody_comes_with_the_last_and_goes_with_the_first():
    empty = without_statement({"Statement": [OURS]}, SID)
    assert statements(empty) == [NOBODY]
    assert statements(with_statement(empty, OURS)) == [OURS]


def test_inputs_are_not_changed():
    document = {"Statement": [THEIRS]}
    with_statement(document, OURS)
    assert document == {"Statement": [THEIRS]}


def test_only_our_providers_are_named():
    foreign = {
        **OURS,
        "Sid": "Else",
        "Principal": {"Federated": ["arn:aws:iam::1:saml-provider/ADFS"]},
    }
    assert providers_named({"Statement": [OURS, foreign]}, sid_prefix("acme")) == {"Okta"}
    assert statement_of({"Statement": [foreign]}, SID) is None


def test_what_means_the_same_is_the_same():
    one = {"Action": ["b", "a"], "Condition": {"Bool": {"x": [True]}}}
    other = {"Condition": {"Bool": {"x": "true"}}, "Action": ["a", "b"]}
    assert same(one, other)
    assert not same(one, {**other, "Action": ["a"]})
    assert canonical({"Action": ["a"]}) == {"Action": "a"}


def test_white_space_does_not_count():
    assert size({"a": "b"}) == len('{"a":"b"}')
    assert text_of({"a": ["b"]}) == '{"a":["b"]}'


def test_the_snippet_can_be_pasted():
    assert snippet("Ops", OURS).startswith("add to the trust policy of role Ops:\n{")
