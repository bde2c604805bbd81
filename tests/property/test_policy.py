"""Laws of the evaluator, over generated policies and requests."""

from __future__ import annotations

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.model.policy import AuthRequest, Policies, decide
from ostiary.model.policy_grammar import problems
from ostiary.model.policy_match import arn_glob, glob, matches

ACCOUNT = "111122223333"
USER = f"arn:aws:iam::{ACCOUNT}:user/u"
ACTIONS = ["s3:GetObject", "s3:PutObject", "iam:GetRole"]
RESOURCES = ["arn:aws:s3:::a/x", "arn:aws:s3:::b/y", f"arn:aws:iam::{ACCOUNT}:role/r"]
KEYS = ["aws:username", "aws:SourceIp", "aws:PrincipalTag/team"]
VALUES = ["u", "203.0.113.7", "true", "10"]
OPERATORS = [
    f"{prefix}{name}{suffix}"
    for name in ("StringEquals", "StringNotLike", "Bool", "NumericLessThan", "IpAddress", "Odd")
    for prefix in ("", "ForAnyValue:", "ForAllValues:")
    for suffix in ("", "IfExists")
]

conditions = st.dictionaries(
    st.sampled_from(OPERATORS),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), min_size=1, max_size=2),
    max_size=1,
)
statements = st.builds(
    lambda effect, action, resource, condition: {
        "Effect": effect,
        action[0]: action[1],
        resource[0]: resource[1],
        "Condition": condition,
    },
    st.sampled_from(["Allow", "Deny"]),
    st.tuples(st.sampled_from(["Action", "NotAction"]), st.sampled_from([*ACTIONS, "s3:*", "*"])),
    st.tuples(
        st.sampled_from(["Resource", "NotResource"]),
        st.sampled_from([*RESOURCES, "arn:aws:s3:::*", "*", "arn:aws:s3:::${aws:username}/*"]),
    ),
    conditions,
)
documents = st.builds(
    lambda held, version: {"Version": version, "Statement": held},
    st.lists(statements, max_size=3),
    st.sampled_from(["2012-10-17", "2008-10-17"]),
)
document_tuples = st.lists(documents, max_size=2).map(tuple)
policies = st.builds(
    Policies,
    identity=document_tuples,
    boundary=st.none() | documents,
    session=st.none() | document_tuples,
    scps=st.lists(document_tuples, max_size=2).map(tuple),
)
requests = st.builds(
    lambda action, resource, context: AuthRequest(USER, ACCOUNT, action, resource, context),
    st.sampled_from(ACTIONS),
    st.sampled_from(RESOURCES),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)),
)
ALLOW_ALL = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
DENY_ALL = {"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}
quick = settings(max_examples=30, deadline=None)


def changed(old: Policies, **new) -> Policies:
    fields = ("identity", "boundary", "session", "resource", "scps", "resource_account")
    return Policies(**{name: getattr(old, name) for name in fields} | new)


@quick
@given(requests, policies)
def test_deny_always_wins(request, held):
    for denying in (
        changed(held, identity=(*held.identity, DENY_ALL)),
        changed(held, boundary=DENY_ALL),
        changed(held, session=(ALLOW_ALL, DENY_ALL)),
        changed(held, scps=(*held.scps, (ALLOW_ALL, DENY_ALL))),
    ):
        assert not decide(request, denying).allowed


@quick
@given(requests, policies, statements)
def test_adding_an_allow_never_takes_away(request, held, statement):
    if decide(request, held).allowed:
        more = {"Version": "2012-10-17", "Statement": [{**statement, "Effect": "Allow"}]}
        assert decide(request, changed(held, identity=(*held.identity, more))).allowed


@quick
@given(requests, policies, statements)
def test_adding_a_deny_never_gives(request, held, statement):
    if not decide(request, held).allowed:
        more = {"Version": "2012-10-17", "Statement": [{**statement, "Effect": "Deny"}]}
        assert not decide(request, changed(held, identity=(*held.identity, more))).allowed


@quick
@given(requests, policies, documents)
def test_limits_only_narrow(request, held, limit):
    bare = changed(held, boundary=None, session=None, scps=())
    for limited in (
        changed(bare, boundary=limit),
        changed(bare, session=(limit,)),
        changed(bare, scps=((limit,),)),
        held,
    ):
        if decide(request, limited).allowed:
            assert decide(request, bare).allowed


@quick
@given(requests, policies)
def test_nothing_is_allowed_without_an_allow(request, held):
    denies_only = tuple(
        {**one, "Statement": [s for s in one["Statement"] if s["Effect"] == "Deny"]}
        for one in held.identity
    )
    assert not decide(request, changed(held, identity=denies_only)).allowed


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["*", "Allow", "s3:*", "${", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["AWS", "Bool", "a:b"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
ELEMENTS = ["Action", "Resource", "NotResource", "Condition", "Principal", "NotPrincipal", "Sid"]


@quick
@given(st.dictionaries(st.sampled_from(ELEMENTS), anything), st.sampled_from(["Allow", "Deny"]))
def test_malformed_documents_raise_nothing(statement, effect):
    document = {"Version": "2012-10-17", "Statement": {**statement, "Effect": effect}}
    request = AuthRequest(USER, ACCOUNT, "s3:GetObject", "arn:aws:s3:::a/x", {})
    decide(request, Policies(identity=(document,), resource=document))
    for trust in (True, False):
        for found in problems(document, trust=trust):
            assert found.text


@quick
@given(anything, st.booleans())
def test_any_json_has_problems(document, trust):
    if not isinstance(document, dict) or "Statement" not in document:
        assert problems(document, trust=trust)


@cache
def oracle(pattern: str, value: str) -> bool:
    """A wildcard match by its definition, one character after the other."""
    if not pattern:
        return not value
    if pattern[0] == "*":
        return oracle(pattern[1:], value) or (bool(value) and oracle(pattern, value[1:]))
    return bool(value) and pattern[0] in ("?", value[0]) and oracle(pattern[1:], value[1:])


patterns = st.text("ab*?.[\\", max_size=7)
texts = st.text("ab*?.[\\\n", max_size=8)


@settings(max_examples=120, deadline=None)
@given(patterns, texts)
def test_wildcards_match_by_definition(pattern, value):
    assert glob(pattern, value) == oracle(pattern, value)
    assert matches(pattern, value, {}) == oracle(pattern, value)


@settings(max_examples=60, deadline=None)
@given(patterns, texts, texts)
def test_variables_are_literal(pattern, middle, tail):
    context = {"k:x": middle}
    assert matches(pattern + "${k:x}", tail + middle, context) == oracle(pattern, tail)


parts = st.lists(st.text("ab*?", max_size=4), min_size=6, max_size=6)
values = st.lists(st.text("ab", max_size=4), min_size=6, max_size=6)


@settings(max_examples=60, deadline=None)
@given(parts, values)
def test_arns_match_part_by_part(pattern, value):
    expected = all(oracle(p, v) for p, v in zip(pattern, value, strict=True))
    assert arn_glob(":".join(pattern), ":".join(value)) == expected


def test_a_hostile_pattern_is_linear():
    assert not glob("*a" * 1000 + "b", "a" * 5000)
