"""Organizations: the tree, pages, tags, new accounts."""

from __future__ import annotations

import json

import pytest

MANAGEMENT, MEMBER, INVITED = "111111111111", "222222222222", "333333333333"


@pytest.fixture
def organizations(connect, admin):
    return connect("organizations", admin)


def test_the_tree(organizations, organization, world):
    found = organizations.describe_organization()["Organization"]
    assert found["Id"] == organization.id
    assert found["MasterAccountId"] == MANAGEMENT
    (root,) = organizations.list_roots()["Roots"]
    (unit,) = organizations.list_organizational_units_for_parent(ParentId=root["Id"])[
        "OrganizationalUnits"
    ]
    assert unit["Name"] == "Prod"
    assert unit["Path"] == f"{organization.id}/{root['Id']}/{unit['Id']}/"
    (account,) = organizations.list_accounts_for_parent(ParentId=unit["Id"])["Accounts"]
    assert (account["Id"], account["Status"], account["State"]) == (MEMBER, "ACTIVE", "ACTIVE")
    assert account["JoinedMethod"] == "CREATED"
    assert organizations.list_parents(ChildId=MEMBER)["Parents"] == [
        {"Id": unit["Id"], "Type": "ORGANIZATIONAL_UNIT"}
    ]
    described = organizations.describe_organizational_unit(OrganizationalUnitId=unit["Id"])
    assert described["OrganizationalUnit"] == unit
    world.aws.account(MEMBER).tags["team"] = "core"
    tags = organizations.list_tags_for_resource(ResourceId=MEMBER)["Tags"]
    assert tags == [{"Key": "team", "Value": "core"}]


def test_twenty_accounts_per_page(organizations, organization, world):
    for number in range(40):
        world.aws.add_account(f"{number:012d}", f"n{number}", organization=organization)
    pages = list(organizations.get_paginator("list_accounts").paginate())
    assert [len(page["Accounts"]) for page in pages] == [20, 20, 3]


def test_only_the_management_account_may_ask(connect, sts, refusal, world):
    keys = sts.assume_role(
        RoleArn=f"arn:aws:iam::{MEMBER}:role/OrganizationAccountAccessRole", RoleSessionName="one"
    )["Credentials"]
    member = connect("organizations", keys)
    assert member.describe_organization()["Organization"]["MasterAccountId"] == MANAGEMENT
    assert refusal(member.list_accounts)[0] == "AccessDeniedException"
    world.aws.add_account("555555555555", "Alone")
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    alone = connect("organizations", world.aws.add_user("555555555555", "admin", [admin]))
    assert refusal(alone.list_accounts)[0] == "AWSOrganizationsNotInUseException"


def test_a_new_account_comes_after_a_while(organizations, world, sts):
    status = organizations.create_account(
        AccountName="New", Email="new@aws.example", Tags=[{"Key": "a", "Value": "b"}]
    )["CreateAccountStatus"]
    assert status["State"] == "IN_PROGRESS"
    world.clock.advance(6)
    call = {"CreateAccountRequestId": status["Id"]}
    done = organizations.describe_create_account_status(**call)["CreateAccountStatus"]
    assert done["State"] == "SUCCEEDED"
    role = f"arn:aws:iam::{done['AccountId']}:role/OrganizationAccountAccessRole"
    sts.assume_role(RoleArn=role, RoleSessionName="one")
    again = organizations.create_account(AccountName="New", Email="new@aws.example")
    world.clock.advance(6)
    call = {"CreateAccountRequestId": again["CreateAccountStatus"]["Id"]}
    failed = organizations.describe_create_account_status(**call)["CreateAccountStatus"]
    assert (failed["State"], failed["FailureReason"]) == ("FAILED", "EMAIL_ALREADY_EXISTS")


def test_service_control_policies_of_each_level(organizations, organization, refusal):
    scp = {"Filter": "SERVICE_CONTROL_POLICY"}
    (full,) = organizations.list_policies_for_target(TargetId=MEMBER, **scp)["Policies"]
    assert (full["Id"], full["AwsManaged"]) == ("p-FullAWSAccess", True)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*"}]}
    organization.scps[organization.root] = [document]
    (own,) = organizations.list_policies_for_target(TargetId=organization.root, **scp)["Policies"]
    shown = organizations.describe_policy(PolicyId=own["Id"])["Policy"]
    assert json.loads(shown["Content"]) == document
    wrong = {"TargetId": "999999999999", **scp}
    assert refusal(organizations.list_policies_for_target, **wrong)[0] == "TargetNotFoundException"
    assert (
        refusal(organizations.describe_policy, PolicyId="p-12345678")[0]
        == "PolicyNotFoundException"
    )


def test_a_service_control_policy_binds_where_it_is_attached(
    organizations, organization, connect, sts, refusal
):
    content = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "iam:*", "Resource": "*"}],
    }
    new = {"Type": "SERVICE_CONTROL_POLICY", "Name": "no-iam", "Description": "", "Tags": []}
    made = organizations.create_policy(**new, Content=json.dumps(content))["Policy"]
    assert json.loads(made["Content"]) == content
    summary = made["PolicySummary"]
    listed = organizations.list_policies(Filter="SERVICE_CONTROL_POLICY")["Policies"]
    assert {one["Name"] for one in listed} == {"FullAWSAccess", "no-iam"}
    again = refusal(organizations.create_policy, **new, Content=json.dumps(content))
    assert again[0] == "DuplicatePolicyException"
    junk = refusal(organizations.create_policy, **new | {"Name": "junk"}, Content="{}")
    assert junk[0] == "MalformedPolicyDocumentException"

    role = f"arn:aws:iam::{MEMBER}:role/OrganizationAccountAccessRole"
    keys = sts.assume_role(RoleArn=role, RoleSessionName="one")["Credentials"]
    member = connect("iam", keys)
    member.list_roles()
    call = {"PolicyId": summary["Id"], "TargetId": MEMBER}
    organizations.attach_policy(**call)
    assert refusal(member.list_roles)[0] == "AccessDenied"
    assert refusal(organizations.attach_policy, **call)[0] == "DuplicatePolicyAttachmentException"
    in_use = refusal(organizations.delete_policy, PolicyId=summary["Id"])
    assert in_use[0] == "PolicyInUseException"
    full = {"PolicyId": "p-FullAWSAccess", "TargetId": MEMBER}
    organizations.detach_policy(**full)
    assert refusal(organizations.detach_policy, **call)[0] == "ConstraintViolationException"
    organizations.attach_policy(**full)
    organizations.detach_policy(**call)
    member.list_roles()
    assert refusal(organizations.detach_policy, **call)[0] == "PolicyNotAttachedException"
    organizations.delete_policy(PolicyId=summary["Id"])
    gone = refusal(organizations.describe_policy, PolicyId=summary["Id"])
    assert gone[0] == "PolicyNotFoundException"
