"""Roles as IAM keeps them: trust grammar, limits, policies, conflicts."""

from __future__ import annotations

import json

import pytest

MANAGEMENT, MEMBER = "111111111111", "222222222222"
ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"


def trust(principal, action="sts:AssumeRole", **more) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


ACCOUNT = trust({"AWS": MANAGEMENT})
EVERYTHING = json.dumps(
    {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
)


@pytest.fixture
def ops(iam):
    return iam.create_role(
        RoleName="Ops",
        AssumeRolePolicyDocument=ACCOUNT,
        Description="operators",
        MaxSessionDuration=7200,
        PermissionsBoundary=ADMIN,
        Tags=[{"Key": "team", "Value": "core"}],
    )["Role"]


def test_a_role_comes_back_as_it_was_made(iam, ops):
    role = iam.get_role(RoleName="ops")["Role"]
    assert role["RoleName"] == "Ops"
    assert role["RoleId"].startswith("AROA")
    assert role["AssumeRolePolicyDocument"] == json.loads(ACCOUNT)
    assert (role["Description"], role["MaxSessionDuration"]) == ("operators", 7200)
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == ADMIN
    assert role["Tags"] == [{"Key": "team", "Value": "core"}]
    listed = iam.list_roles()["Roles"][0]
    assert {"Tags", "PermissionsBoundary", "RoleLastUsed"}.isdisjoint(listed)
    assert (listed["Description"], listed["MaxSessionDuration"]) == ("operators", 7200)


def test_names_are_unique_whatever_their_case(iam, ops, refusal):
    name, text = refusal(iam.create_role, RoleName="OPS", AssumeRolePolicyDocument=ACCOUNT)
    assert (name, text) == ("EntityAlreadyExists", "Role with name OPS already exists.")
    assert refusal(iam.get_role, RoleName="None") == (
        "NoSuchEntity",
        "The role with name None cannot be found.",
    )


def test_roles_are_paged_and_found_by_path(iam):
    for number in range(7):
        iam.create_role(
            RoleName=f"r{number}",
            Path="/a/" if number % 2 else "/",
            AssumeRolePolicyDocument=ACCOUNT,
        )
    pages = list(iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["Roles"]) for page in pages] == [3, 3, 1]
    assert len(iam.list_roles(PathPrefix="/a/")["Roles"]) == 3
    assert iam.get_role(RoleName="r1")["Role"]["Arn"].endswith(":role/a/r1")


@pytest.mark.parametrize(
    ("document", "code", "text"),
    [
        ("{", "MalformedPolicyDocument", "invalid Json"),
        ('{"Version":"2012-10-17","Version":"2012-10-17"}', "MalformedPolicyDocument", "Json"),
        ('{"Version":"2013","Statement":[]}', "MalformedPolicyDocument", "Syntax errors"),
        (EVERYTHING, "MalformedPolicyDocument", "prohibited field Resource"),
        (
            trust({"AWS": f"arn:aws:iam::{MEMBER}:role/Missing"}),
            "MalformedPolicyDocument",
            f'Invalid principal in policy: "AWS":"arn:aws:iam::{MEMBER}:role/Missing"',
        ),
        (trust({"AWS": "999999999999"}), "MalformedPolicyDocument", "Invalid principal"),
        (trust({"AWS": "444444444444"}), "MalformedPolicyDocument", "Invalid principal"),
        (trust({"Federated": "x"}), "MalformedPolicyDocument", "valid domain names or SAML"),
        (trust({"AWS": MANAGEMENT}, "iam:GetRole"), "MalformedPolicyDocument", "STS AssumeRole"),
        (trust({"AWS": MANAGEMENT}, "sts.AssumreRole"), "MalformedPolicyDocument", "vendor"),
        (trust({"AWS": MANAGEMENT}, Sid="a-b"), "MalformedPolicyDocument", "alpha-numeric"),
        (
            trust({"AWS": MANAGEMENT}, Condition={"StringIs": {"aws:x": "y"}}),
            "MalformedPolicyDocument",
            "Invalid Condition type",
        ),
        (
            trust({"AWS": MANAGEMENT}, Condition={"StringEquals": {"aws:x": "y" * 2048}}),
            "LimitExceeded",
            "ACLSizePerRole: 2048",
        ),
    ],
)
def test_trust_policies_are_judged(iam, refusal, document, code, text):
    name, said = refusal(iam.create_role, RoleName="r", AssumeRolePolicyDocument=document)
    assert name == code
    assert text in said


def test_the_trust_limit_counts_characters_without_white_space(iam):
    text = trust({"AWS": MANAGEMENT}, Condition={"StringEquals": {"aws:x": "y" * 1800}})
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(json.loads(text), indent=40))


def test_a_principal_made_again_is_another_principal(iam, ops):
    iam.create_role(RoleName="Other", AssumeRolePolicyDocument=trust({"AWS": ops["Arn"]}))
    iam.delete_role(RoleName="Ops")
    shown = iam.get_role(RoleName="Other")["Role"]["AssumeRolePolicyDocument"]
    assert shown["Statement"][0]["Principal"]["AWS"] == ops["RoleId"]
    iam.create_role(RoleName="Ops", AssumeRolePolicyDocument=ACCOUNT)
    again = iam.get_role(RoleName="Other")["Role"]["AssumeRolePolicyDocument"]
    assert again == shown
    iam.update_assume_role_policy(RoleName="Other", PolicyDocument=json.dumps(again))


def test_managed_and_inline_policies(iam, ops, refusal):
    iam.attach_role_policy(RoleName="Ops", PolicyArn=ADMIN)
    iam.attach_role_policy(RoleName="Ops", PolicyArn=ADMIN)
    attached = iam.list_attached_role_policies(RoleName="Ops")["AttachedPolicies"]
    assert attached == [{"PolicyName": "AdministratorAccess", "PolicyArn": ADMIN}]
    unknown = "arn:aws:iam::aws:policy/AdminAccess"
    assert refusal(iam.attach_role_policy, RoleName="Ops", PolicyArn=unknown) == (
        "NoSuchEntity",
        f"Policy {unknown} does not exist or is not attachable.",
    )
    iam.put_role_policy(RoleName="Ops", PolicyName="all", PolicyDocument=EVERYTHING)
    assert iam.get_role_policy(RoleName="Ops", PolicyName="all")["PolicyDocument"] == json.loads(
        EVERYTHING
    )
    assert iam.list_role_policies(RoleName="Ops")["PolicyNames"] == ["all"]
    assert refusal(iam.delete_role, RoleName="Ops")[0] == "DeleteConflict"
    iam.detach_role_policy(RoleName="Ops", PolicyArn=ADMIN)
    assert refusal(iam.detach_role_policy, RoleName="Ops", PolicyArn=ADMIN)[0] == "NoSuchEntity"
    assert refusal(iam.delete_role, RoleName="Ops")[0] == "DeleteConflict"
    iam.delete_role_policy(RoleName="Ops", PolicyName="all")
    iam.delete_role(RoleName="Ops")
    assert refusal(iam.delete_role, RoleName="Ops")[0] == "NoSuchEntity"


def test_ten_managed_policies_are_the_most(iam, ops, refusal):
    def policy(number):
        made = iam.create_policy(PolicyName=f"p{number}", PolicyDocument=EVERYTHING)
        return made["Policy"]["Arn"]

    for number in range(10):
        iam.attach_role_policy(RoleName="Ops", PolicyArn=policy(number))
    name, text = refusal(iam.attach_role_policy, RoleName="Ops", PolicyArn=policy(10))
    assert (name, text) == ("LimitExceeded", "Cannot exceed quota for PoliciesPerRole: 10")


def test_update_tags_and_boundary(iam, ops, refusal):
    iam.update_role(RoleName="Ops", MaxSessionDuration=43200)
    iam.tag_role(RoleName="Ops", Tags=[{"Key": "TEAM", "Value": "net"}])
    assert iam.list_role_tags(RoleName="Ops")["Tags"] == [{"Key": "TEAM", "Value": "net"}]
    iam.untag_role(RoleName="Ops", TagKeys=["team"])
    iam.delete_role_permissions_boundary(RoleName="Ops")
    role = iam.get_role(RoleName="Ops")["Role"]
    assert {"Tags", "PermissionsBoundary"}.isdisjoint(role)
    assert (role["MaxSessionDuration"], role["Description"]) == (43200, "operators")
    missing = "arn:aws:iam::aws:policy/NoSuchPolicyAnywhere"
    call = iam.put_role_permissions_boundary
    assert refusal(call, RoleName="Ops", PermissionsBoundary=missing)[0] == "NoSuchEntity"
    twice = [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]
    assert refusal(iam.tag_role, RoleName="Ops", Tags=twice)[0] == "InvalidInput"


def test_roles_of_aws_are_read_only(iam, world, refusal):
    world.aws.add_role(MANAGEMENT, "AWSReservedSSO_x", {}, path="/aws-reserved/sso.amazonaws.com/")
    name = refusal(iam.update_role, RoleName="AWSReservedSSO_x", Description="")[0]
    assert name == "UnmodifiableEntity"


def test_authorization_details_mix_kinds_over_pages(iam, ops):
    iam.create_policy(PolicyName="own", PolicyDocument=EVERYTHING)
    iam.put_role_policy(RoleName="Ops", PolicyName="all", PolicyDocument=EVERYTHING)
    pager = iam.get_paginator("get_account_authorization_details")
    pages = list(pager.paginate(PaginationConfig={"PageSize": 1}))
    roles = [role for page in pages for role in page["RoleDetailList"]]
    assert [role["RoleName"] for role in roles] == ["Ops"]
    assert {"Description", "MaxSessionDuration"}.isdisjoint(roles[0])
    assert roles[0]["RolePolicyList"][0]["PolicyDocument"] == json.loads(EVERYTHING)
    assert roles[0]["PermissionsBoundary"]["PermissionsBoundaryArn"] == ADMIN
    only = iam.get_account_authorization_details(Filter=["LocalManagedPolicy"])
    assert [policy["PolicyName"] for policy in only["Policies"]] == ["own"]
    assert only["RoleDetailList"] == []
    assert only["Policies"][0]["PolicyVersionList"][0]["Document"] == json.loads(EVERYTHING)
