"""Who may do what: identity, boundary, session policy, trust, service control policies."""

from __future__ import annotations

import json

import pytest

MANAGEMENT, MEMBER, INVITED = "111111111111", "222222222222", "333333333333"
ACCESS = "OrganizationAccountAccessRole"


def allow(*actions, resource="*", **condition) -> dict:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    if condition:
        statement["Condition"] = condition
    return {"Version": "2012-10-17", "Statement": [statement]}


def trusting(principal, **condition) -> dict:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
    if condition:
        statement["Condition"] = condition
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.fixture
def clerk(world, connect):
    """``clerk(*policies)``: clients of a fresh user of the management account by service name."""

    def clerk(*policies):
        keys = world.aws.add_user(MANAGEMENT, "clerk", policies)
        return lambda service: connect(service, keys)

    return clerk


def test_the_text_of_a_refusal(clerk, world, refusal):
    world.aws.add_role(MANAGEMENT, "Ops", trusting(MANAGEMENT), path="/x/")
    arn = f"arn:aws:iam::{MANAGEMENT}:role/x/Ops"
    assert refusal(clerk()("iam").get_role, RoleName="Ops") == (
        "AccessDenied",
        (
            f"User: arn:aws:iam::{MANAGEMENT}:user/clerk is not authorized to perform: iam:GetRole on"
            f" resource: {arn} because no identity-based policy allows the iam:GetRole action"
        ),
    )


def test_resources_and_conditions_count(clerk, world, refusal):
    world.aws.add_role(MANAGEMENT, "Ops", trusting(MANAGEMENT), tags={"team": "core"})
    world.aws.add_role(MANAGEMENT, "Net", trusting(MANAGEMENT))
    tagged = {"StringEquals": {"aws:ResourceTag/team": "core"}}
    boundary = {
        "StringEquals": {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/ReadOnlyAccess"}
    }
    iam = clerk(
        allow("iam:GetRole", **tagged),
        allow("iam:UpdateRole", resource=f"arn:aws:iam::{MANAGEMENT}:role/Ops"),
        allow("iam:CreateRole", **boundary),
        allow("iam:AttachRolePolicy", ArnEquals={"iam:PolicyARN": "arn:aws:iam::aws:policy/R*"}),
    )("iam")
    iam.get_role(RoleName="Ops")
    iam.update_role(RoleName="Ops")
    assert refusal(iam.get_role, RoleName="Net")[0] == "AccessDenied"
    assert refusal(iam.update_role, RoleName="Net")[0] == "AccessDenied"
    document = json.dumps(trusting(MANAGEMENT))
    assert refusal(iam.create_role, RoleName="New", AssumeRolePolicyDocument=document)[0] == (
        "AccessDenied"
    )
    iam.create_role(
        RoleName="New",
        AssumeRolePolicyDocument=document,
        PermissionsBoundary="arn:aws:iam::aws:policy/ReadOnlyAccess",
    )
    iam.attach_role_policy(RoleName="New", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    wanted = "arn:aws:iam::aws:policy/AdministratorAccess"
    assert refusal(iam.attach_role_policy, RoleName="New", PolicyArn=wanted)[0] == "AccessDenied"


def test_assuming_a_role_needs_trust_and_permission(clerk, sts, refusal, world):
    role = f"arn:aws:iam::{MEMBER}:role/{ACCESS}"
    name, text = refusal(clerk()("sts").assume_role, RoleArn=role, RoleSessionName="one")
    assert name == "AccessDenied"
    assert text == (
        f"User: arn:aws:iam::{MANAGEMENT}:user/clerk is not authorized to perform: sts:AssumeRole on"
        f" resource: {role}"
    )
    answer = sts.assume_role(RoleArn=role, RoleSessionName="one")
    assert answer["AssumedRoleUser"]["Arn"] == (f"arn:aws:sts::{MEMBER}:assumed-role/{ACCESS}/one")
    missing = f"arn:aws:iam::{INVITED}:role/{ACCESS}"
    assert refusal(sts.assume_role, RoleArn=missing, RoleSessionName="one")[0] == "AccessDenied"


def test_a_role_that_names_the_user_needs_no_policy_of_the_user(clerk, world, refusal):
    sts = clerk()("sts")
    user = f"arn:aws:iam::{MANAGEMENT}:user/clerk"
    world.aws.add_role(MANAGEMENT, "Direct", trusting(user))
    world.aws.add_role(MANAGEMENT, "ByAccount", trusting(MANAGEMENT))
    world.aws.add_role(MEMBER, "Across", trusting(user))
    sts.assume_role(RoleArn=f"arn:aws:iam::{MANAGEMENT}:role/Direct", RoleSessionName="one")
    for arn in (f"{MANAGEMENT}:role/ByAccount", f"{MEMBER}:role/Across"):
        call = {"RoleArn": f"arn:aws:iam::{arn}", "RoleSessionName": "one"}
        assert refusal(sts.assume_role, **call)[0] == "AccessDenied"


def test_external_id_and_durations(sts, world, refusal, connect):
    arn = f"arn:aws:iam::{MEMBER}:role/Ext"
    condition = {"StringEquals": {"sts:ExternalId": "secret"}}
    world.aws.add_role(MEMBER, "Ext", trusting(MANAGEMENT, **condition), max_session=7200)
    call = {"RoleArn": arn, "RoleSessionName": "one"}
    assert refusal(sts.assume_role, **call)[0] == "AccessDenied"
    assert refusal(sts.assume_role, **call, ExternalId="wrong")[0] == "AccessDenied"
    sts.assume_role(**call, ExternalId="secret", DurationSeconds=7200)
    name, text = refusal(sts.assume_role, **call, ExternalId="secret", DurationSeconds=7201)
    assert name == "ValidationError"
    assert "MaxSessionDuration" in text


def test_chaining_ends_after_an_hour(sts, world, connect, refusal):
    first = sts.assume_role(RoleArn=f"arn:aws:iam::{MEMBER}:role/{ACCESS}", RoleSessionName="one")[
        "Credentials"
    ]
    world.aws.add_role(MEMBER, "Next", trusting(MEMBER), max_session=7200)
    call = {"RoleArn": f"arn:aws:iam::{MEMBER}:role/Next", "RoleSessionName": "two"}
    chained = connect("sts", first)
    assert refusal(chained.assume_role, **call, DurationSeconds=7200)[0] == "ValidationError"
    keys = chained.assume_role(**call)["Credentials"]
    assert connect("sts", keys).get_caller_identity()["Arn"].endswith("assumed-role/Next/two")


def test_session_policy_and_boundary_limit(sts, world, connect, refusal):
    keys = sts.assume_role(
        RoleArn=f"arn:aws:iam::{MEMBER}:role/{ACCESS}",
        RoleSessionName="one",
        Policy=json.dumps(allow("iam:ListRoles")),
    )["Credentials"]
    iam = connect("iam", keys)
    iam.list_roles()
    assert refusal(iam.list_users)[1].endswith(
        "because no session policy allows the iam:ListUsers action"
    )
    world.aws.add_role(
        MEMBER,
        "Bound",
        trusting(MANAGEMENT),
        managed=["arn:aws:iam::aws:policy/AdministratorAccess"],
        boundary="arn:aws:iam::aws:policy/IAMReadOnlyAccess",
    )
    bound = sts.assume_role(RoleArn=f"arn:aws:iam::{MEMBER}:role/Bound", RoleSessionName="one")
    iam = connect("iam", bound["Credentials"])
    iam.list_users()
    assert "no permissions boundary allows" in refusal(iam.create_user, UserName="x")[1]


def test_service_control_policies_bind_members_only(sts, iam, connect, organization, refusal):
    full = allow("*")
    deny = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "iam:CreateUser", "Resource": "*"}],
    }
    organization.scps[organization.root] = [full, deny]
    keys = sts.assume_role(RoleArn=f"arn:aws:iam::{MEMBER}:role/{ACCESS}", RoleSessionName="one")
    member = connect("iam", keys["Credentials"])
    member.list_users()
    assert "service control policy" in refusal(member.create_user, UserName="x")[1]
    iam.create_user(UserName="x")


def test_the_denied_switch(world, sts, iam, refusal):
    world.switches.denied = {(MEMBER, "sts:AssumeRole"), (MANAGEMENT, "iam:CreateUser")}
    call = {"RoleArn": f"arn:aws:iam::{MEMBER}:role/{ACCESS}", "RoleSessionName": "one"}
    assert refusal(sts.assume_role, **call)[0] == "AccessDenied"
    assert refusal(iam.create_user, UserName="x")[0] == "AccessDenied"
    iam.list_users()


def test_a_deleted_role_ends_its_sessions(sts, connect, world, refusal):
    keys = sts.assume_role(RoleArn=f"arn:aws:iam::{MEMBER}:role/{ACCESS}", RoleSessionName="one")[
        "Credentials"
    ]
    world.aws.account(MEMBER).roles.remove(ACCESS)
    assert refusal(connect("sts", keys).get_caller_identity)[0] == "InvalidClientTokenId"


def test_session_tokens_of_users(sts, connect, refusal):
    keys = sts.get_session_token()["Credentials"]
    session = connect("sts", keys)
    assert session.get_caller_identity()["Arn"].endswith(":user/admin")
    assert refusal(session.get_session_token)[0] == "AccessDenied"
    assert sts.get_access_key_info(AccessKeyId=keys["AccessKeyId"])["Account"] == MANAGEMENT
