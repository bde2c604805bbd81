"""What IAM refuses in a policy, and what it takes although it should not stand there."""

from __future__ import annotations

import json

import pytest

from ostiary.model.policy_grammar import parse, problems, size

ROLE = "arn:aws:iam::111122223333:role/Administrator"
OKTA = "arn:aws:iam::111122223333:saml-provider/Okta"
GITHUB = "token.actions.githubusercontent.com"
GITHUB_PROVIDER = f"arn:aws:iam::111122223333:oidc-provider/{GITHUB}"
STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
TRUST = {
    "Effect": "Allow",
    "Principal": {"Federated": OKTA},
    "Action": "sts:AssumeRoleWithSAML",
    "Condition": {"StringEquals": {"SAML:aud": "https://signin.aws.amazon.com/saml"}},
}


def doc(*statements, **top):
    return {"Version": "2012-10-17", "Statement": list(statements), **top}


def without(statement, *names, **more):
    return {key: value for key, value in statement.items() if key not in names} | more


def codes(document, *, trust, **more):
    return [problem.code for problem in problems(document, trust=trust, **more)]


def test_good_policies_have_no_problem():
    assert codes(doc(STATEMENT), trust=False) == []
    assert codes({"Version": "2012-10-17", "Statement": STATEMENT}, trust=False) == []
    assert codes(doc(TRUST), trust=True, role_arn=ROLE) == []
    assert codes({"Statement": [TRUST]}, trust=True) == []
    both = without(TRUST, "Action", Action=["sts:AssumeRoleWithSAML", "sts:TagSession"])
    assert codes(doc(both), trust=True) == []


@pytest.mark.parametrize(
    ("document", "code", "text"),
    [
        ([], "elements", "Syntax errors in policy."),
        (doc(STATEMENT, Statments=[]), "elements", "Syntax errors in policy."),
        (doc(STATEMENT, Version="2026-01-01"), "version", "Syntax errors in policy."),
        ({"Statement": [STATEMENT]}, "version", "Policy document must be version 2012-10-17 or g"),
        (doc(), "no-statement", "Syntax errors in policy."),
        (doc("Allow"), "statement", "Syntax errors in policy."),
        (doc(without(STATEMENT, Resources="*")), "elements", "Syntax errors in policy."),
        (doc(without(STATEMENT, "Effect")), "effect", "Missing required field Effect"),
        (doc(without(STATEMENT, Effect="allow")), "effect", "Syntax errors in policy."),
        (doc(without(STATEMENT, "Action")), "action", "Policy statement must contain actions."),
        (doc(without(STATEMENT, NotAction="s3:*")), "action", "Syntax errors in policy."),
        (doc(without(STATEMENT, Action=[])), "action", "Syntax errors in policy."),
        (doc(without(STATEMENT, Action=[1])), "action", "Syntax errors in policy."),
        (doc(without(STATEMENT, Action="GetObject")), "action-syntax", "Actions/Conditions must be"),
        (doc(without(STATEMENT, Action="s3:")), "action-syntax", "Syntax errors in policy."),
        (doc(without(STATEMENT, Action="s3*:Get")), "action-syntax", "Syntax errors in policy."),
        (doc(without(STATEMENT, "Resource")), "resource", "Policy statement must contain resources."),
        (doc(without(STATEMENT, NotResource="*")), "resource", "Syntax errors in policy."),
        (doc(without(STATEMENT, Resource="bucket")), "resource", "Resource bucket must be in ARN f"),
        (doc(without(STATEMENT, Resource=[])), "resource", "Resource None must be in ARN format"),
        (doc(without(STATEMENT, Resource="arn:azure:s3:::b")), "partition", 'Partition "azure" is n'),
        (doc(without(STATEMENT, Principal="*")), "principal", "Policy document should not specify"),
        (doc(without(STATEMENT, Sid="with-dash")), "sid", "Statement IDs (SID) must be alpha-nume"),
        (doc(*[without(STATEMENT, Sid="A")] * 2), "sid-twice", "Statement IDs (SID) in a single po"),
        (doc(without(STATEMENT, Condition=[])), "condition", "Syntax errors in policy."),
        (doc(without(STATEMENT, Condition={"StringEqual": {"a:b": "c"}})), "operator", "Syntax err"),
        (doc(without(STATEMENT, Condition={"Bool": {}})), "condition", "Syntax errors in policy."),
        (doc(without(STATEMENT, Condition={"Bool": {"a:b": []}})), "condition", "Syntax errors"),
        (doc(without(STATEMENT, Condition={"Bool": {"a:b": {}}})), "condition", "Syntax errors"),
        (doc(without(STATEMENT, Condition={"Bool": {"b": "true"}})), "condition-key", "Actions/Con"),
        (doc(*[without(STATEMENT, Action="s3:" + "x" * 500)] * 20), "size", "Maximum policy size of"),
    ],
)  # fmt: skip
def test_refused_identity_policies(document, code, text):
    found = problems(document, trust=False)
    assert [problem.code for problem in found] == [code]
    assert found[0].severity == "malformed"
    assert found[0].text.startswith(text)
    assert found[0].fix


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"Resource": "*"}, "resource", "Has prohibited field Resource"),
        ({"Principal": None}, "principal", "Missing required field Principal"),
        ({"Principal": {}}, "principal", "Invalid principal in policy"),
        ({"Principal": OKTA}, "principal", "Invalid principal in policy"),
        ({"Principal": {"AWS": []}}, "principal", 'Invalid principal in policy: "AWS":"None"'),
        ({"Principal": {"aws": "*"}}, "principal", "Invalid principal in policy"),
        ({"Principal": {"AWS": "1111222233334"}}, "principal", "Invalid principal in policy"),
        ({"Principal": {"AWS": "arn:aws:iam::111122223333:user/*"}}, "principal", "Invalid princ"),
        ({"Principal": {"AWS": "arn:aws:iam::111122223333:role"}}, "principal", "Invalid princi"),
        ({"Principal": {"Federated": "Okta"}}, "principal", "Federated principals must be valid"),
        ({"Principal": {"Service": "ec2"}}, "principal", 'Invalid principal in policy: "SERVICE"'),
        ({"Action": "iam:GetRole"}, "trust-action", "AssumeRole policy may only specify STS"),
        ({"Action": "sts:AssumreRole"}, "trust-action", "AssumeRole policy may only specify STS"),
        ({"Action": "*"}, "trust-action", "AssumeRole policy may only specify STS"),
        ({"Action": None}, "action", "Missing required field Action"),
    ],
)
def test_refused_trust_policies(change, code, text):
    statement = {key: value for key, value in {**TRUST, **change}.items() if value is not None}
    found = problems(doc(statement), trust=True)
    assert [problem.code for problem in found] == [code]
    assert found[0].text.startswith(text)


@pytest.mark.parametrize(
    "principal",
    [
        "*",
        {"AWS": "*"},
        {"AWS": ["111122223333", "arn:aws:iam::111122223333:root"]},
        {"AWS": "arn:aws-us-gov:iam::111122223333:role/path/Name"},
        {"AWS": "arn:aws:sts::111122223333:assumed-role/Name/session"},
        {"AWS": "AROAEXAMPLEDELETED01"},
        {"Service": "ec2.amazonaws.com"},
        {"Service": ["ssm.amazonaws.com.cn", "states.eu-west-1.amazonaws.com"]},
        {"Federated": "cognito-identity.amazonaws.com"},
        {"Federated": "accounts.google.com", "AWS": "111122223333"},
    ],
)
def test_principals_that_iam_takes(principal):
    found = problems(doc({**TRUST, "Principal": principal}), trust=True)
    assert not [problem for problem in found if problem.severity == "malformed"]


def test_the_typing_errors_of_the_walkthroughs():
    (found,) = problems(
        doc(without(STATEMENT, Action="sts.AssumreRole", Resource=ROLE)), trust=False
    )
    assert "did you mean sts:AssumeRole?" in found.fix
    (found,) = problems(doc(without(STATEMENT, Action="sts:AssumreRole")), trust=False)
    assert found.code == "action-unknown"
    typo = "arn:aws:iam::*:role/Okta-Idp-cross-acount-role"
    (found,) = problems(doc(without(STATEMENT, Resource=typo)), trust=False)
    assert found.fix == "write Okta-Idp-cross-account-role"
    assert codes(doc(TRUST), trust=True, role_arn=typo.replace("*", "111122223333")) == [
        "role-name-typo"
    ]


@pytest.mark.parametrize(
    ("action", "resource", "found"),
    [
        ("sts:AssumeRole", "*", ["assume-any-role"]),
        (["iam:GetRole", "sts:*"], ["*"], ["assume-any-role"]),
        ("sts:AssumeRole", "arn:aws:iam::*:role/Ostiary", []),
        ("sts:GetCallerIdentity", "*", []),
        ("*", "*", []),
    ],
)
def test_assume_role_on_everything(action, resource, found):
    assert codes(doc(without(STATEMENT, Action=action, Resource=resource)), trust=False) == found


def saml(condition, **more):
    return doc({**TRUST, "Condition": condition, **more})


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (doc(without(TRUST, "Condition")), ["no-saml-audience"]),
        (saml({"StringEquals": {"SAML:iss": "https://x"}}), ["no-saml-audience"]),
        (saml({"StringLike": {"SAML:aud": "*"}}), ["no-saml-audience"]),
        (saml({"StringEqualsIfExists": {"SAML:aud": "https://signin.aws.amazon.com/saml"}}),
         ["no-saml-audience"]),
        (saml({"StringNotEquals": {"SAML:aud": "https://elsewhere"}}), ["no-saml-audience"]),
        (saml({"StringEquals": {"saml:AUD": ["https://eu-west-1.signin.aws.amazon.com/saml"]}}), []),
        (saml({"StringLike": {"SAML:aud": "https://*.signin.aws.amazon.com/saml"}}), []),
        (saml({"StringEquals": {"SAML:aud": "https://signin.amazonaws-us-gov.com/saml"}}),
         ["saml-audience-partition"]),
        (saml({"StringEquals": {"SAML:aud": "https://evilsignin.aws.amazon.com/saml"}}),
         ["saml-audience-partition"]),
        (saml(TRUST["Condition"], Action="sts:AssumeRole"), ["action-for-saml"]),
        (saml(TRUST["Condition"], Principal={"Federated": OKTA.replace("1111", "9999")}),
         ["provider-elsewhere"]),
        (saml({"StringEquals": {"SAML:aud": "https://signin.amazonaws-us-gov.com/saml"}},
              Principal={"Federated": OKTA.replace("aws", "aws-us-gov")}), ["provider-elsewhere"]),
    ],
)  # fmt: skip
def test_saml_trust(document, found):
    assert codes(document, trust=True, role_arn=ROLE) == found


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({}, ["github-without-sub", "github-without-aud"]),
        ({"StringEquals": {f"{GITHUB}:aud": "sts.amazonaws.com"}}, ["github-without-sub"]),
        ({"StringEquals": {f"{GITHUB}:sub": "repo:acme/app:ref:refs/heads/main"}},
         ["github-without-aud"]),
        ({"StringLike": {f"{GITHUB}:sub": "repo:*/app:*", f"{GITHUB}:aud": "sts.amazonaws.com"}},
         ["github-without-sub"]),
        ({"StringLike": {f"{GITHUB}:sub": "repo:acme/*", f"{GITHUB}:aud": "sts.amazonaws.com"}}, []),
        ({"StringLike": {f"{GITHUB}:sub": "*", f"{GITHUB}:aud": "sts.amazonaws.com"}},
         ["github-without-sub"]),
    ],
)  # fmt: skip
def test_github_trust(condition, found):
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": GITHUB_PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": condition,
    }
    assert codes(doc(statement), trust=True, role_arn=ROLE) == found


@pytest.mark.parametrize(
    ("named", "condition", "found"),
    [
        ("*", {}, ["anybody"]),
        ("*", {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}, []),
        ("999988887777", {}, ["no-external-id"]),
        ("arn:aws:iam::999988887777:role/Vendor", {}, ["no-external-id"]),
        ("999988887777", {"StringEquals": {"sts:ExternalId": "1"}}, []),
        ("999988887777", {"StringNotEquals": {"sts:ExternalId": "1"}}, ["no-external-id"]),
        ("444455556666", {}, []),
        ("111122223333", {}, []),
        ("AROAEXAMPLEDELETED01", {}, []),
    ],
)
def test_aws_principals(named, condition, found):
    statement = {"Effect": "Allow", "Principal": {"AWS": named}, "Action": "sts:AssumeRole"}
    if condition:
        statement["Condition"] = condition
    own = frozenset({"444455556666"})
    assert codes(doc(statement), trust=True, role_arn=ROLE, own_accounts=own) == found
    assert "no-external-id" not in codes(doc(statement), trust=True, role_arn=ROLE)
    assert codes(doc({**statement, "Effect": "Deny"}), trust=True, own_accounts=own) == []


def test_not_principal_in_a_trust_policy_is_a_danger():
    statement = without(TRUST, "Principal", "Condition", Effect="Deny", NotPrincipal={"AWS": "*"})
    (found,) = problems(doc(statement), trust=True)
    assert (found.code, found.severity) == ("not-principal", "danger")


def test_trust_size_without_white_space():
    many = {"AWS": [f"arn:aws:iam::{n:012}:root" for n in range(60)]}
    document = doc({"Effect": "Allow", "Principal": many, "Action": "sts:AssumeRole"})
    (found,) = problems(document, trust=True)
    assert (found.code, found.severity) == ("size", "warning")
    assert f"it has {size(document)} characters" in found.fix
    many["AWS"] *= 3
    assert [p.severity for p in problems(document, trust=True)] == ["malformed"]
    assert size({"a": "b c\n"}) == len('{"a":"bc\\n"}')


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "json"),
        ("[]", "json"),
        ("[" * 100_000, "json"),
        ('{"Version": "2012-10-17", "Version": "2012-10-17"}', "duplicate-key"),
    ],
)
def test_unreadable_text(text, code):
    document, found = parse(text)
    assert document is None
    assert [problem.code for problem in found] == [code]


def test_readable_text():
    assert parse(json.dumps(doc(STATEMENT))) == (doc(STATEMENT), ())
