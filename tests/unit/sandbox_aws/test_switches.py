"""What the world does wrong on purpose."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ConnectionClosedError

MANAGEMENT = "111111111111"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": MANAGEMENT}, "Action": "sts:AssumeRole"}
        ],
    }
)


def test_throttling_comes_before_any_effect(world, iam, connect, admin, refusal):
    world.switches.throttle_share = 1.0
    call = iam.create_role
    assert refusal(call, RoleName="r", AssumeRolePolicyDocument=TRUST) == (
        "Throttling",
        "Rate exceeded",
    )
    assert refusal(connect("organizations", admin).list_roots)[0] == "TooManyRequestsException"
    world.switches.throttle_share = 0.0
    call(RoleName="r", AssumeRolePolicyDocument=TRUST)


def test_a_lost_answer_has_its_effect(world, iam, refusal):
    world.switches.lost_answer_share = 1.0
    with pytest.raises(ConnectionClosedError):
        iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    assert iam.get_role(RoleName="r")["Role"]["RoleName"] == "r"
    call = iam.create_role
    assert refusal(call, RoleName="r", AssumeRolePolicyDocument=TRUST)[0] == "EntityAlreadyExists"


def test_a_second_page_may_be_cut(world, iam):
    for number in range(3):
        world.aws.add_role(MANAGEMENT, f"r{number}", {})
    world.switches.cut_page_share = 1.0
    pages = iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 2})
    seen = []
    with pytest.raises(ConnectionClosedError):
        seen.extend(pages)
    assert len(seen) == 1


def test_writes_are_seen_later(world, iam, sts, connect, refusal):
    arn = f"arn:aws:iam::{MANAGEMENT}:role/r"
    world.clock.freeze()
    world.switches.visible_after = 10.0
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST, Description="first")
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    iam.attach_role_policy(RoleName="r", PolicyArn=admin)
    assert refusal(iam.get_role, RoleName="r")[0] == "NoSuchEntity"
    assert iam.list_roles()["Roles"] == []
    assert refusal(sts.assume_role, RoleArn=arn, RoleSessionName="one")[0] == "AccessDenied"
    named = TRUST.replace(f'"{MANAGEMENT}"', f'"{arn}"')
    other = {"RoleName": "other", "AssumeRolePolicyDocument": named}
    assert "Invalid principal in policy" in refusal(iam.create_role, **other)[1]
    world.clock.advance(5)
    iam.update_role(RoleName="r", Description="second")
    world.clock.advance(5)
    assert iam.get_role(RoleName="r")["Role"]["Description"] == "first"
    iam.create_role(**other)
    keys = sts.assume_role(RoleArn=arn, RoleSessionName="one")["Credentials"]
    connect("iam", keys).list_users()
    world.clock.advance(5)
    assert iam.get_role(RoleName="r")["Role"]["Description"] == "second"
    iam.detach_role_policy(RoleName="r", PolicyArn=admin)
    iam.delete_role(RoleName="r")
    connect("iam", keys).list_users()
    world.clock.advance(10)
    assert refusal(iam.get_role, RoleName="r")[0] == "NoSuchEntity"
    assert refusal(connect("iam", keys).list_users)[0] == "InvalidClientTokenId"


def test_an_alias_is_a_write_too(world, iam):
    world.clock.freeze()
    world.switches.visible_after = 10.0
    iam.create_account_alias(AccountAlias="acme")
    assert iam.list_account_aliases()["AccountAliases"] == []
    world.clock.advance(10)
    assert iam.list_account_aliases()["AccountAliases"] == ["acme"]
