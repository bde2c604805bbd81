"""Whose a role is, and which are never touched."""

import pytest

from ostiary.aws.ownership import TAG, RoleRules, is_protected, own_tags, role_owner
from ostiary.model.iam import IamRole
from ostiary.plan.resource import Owner

RULES = RoleRules(protect=("BreakGlass*",), owned_elsewhere=("tf-*",))


def role(name, tags=None, path="/"):
    return IamRole(name, f"arn:aws:iam::111122223333:role{path}{name}", path, {}, tags=tags or {})


@pytest.mark.parametrize(
    ("one", "owner", "named"),
    [
        (role("Ops"), Owner.FOREIGN, ""),
        (role("Ops", {TAG: "acme"}), Owner.OURS, ""),
        (role("Ops", {TAG: "other"}), Owner.OTHER_ESTATE, "estate other"),
        (role("tf-ops", {TAG: "acme"}), Owner.ELSEWHERE, "owned_elsewhere tf-*"),
        (role("TF-ops"), Owner.FOREIGN, ""),
        (
            role("Ops", {TAG: "acme", "aws:cloudformation:stack-name": "net"}),
            Owner.ELSEWHERE,
            "CloudFormation stack net",
        ),
        (
            role("Ops", {"aws:cloudformation:stack-name": "StackSet-a-1"}),
            Owner.ELSEWHERE,
            "StackSet StackSet-a-1",
        ),
        (role("AWSControlTowerExecution"), Owner.ELSEWHERE, "Control Tower"),
    ],
)
def test_the_owner_of_a_role(one, owner, named):
    assert role_owner(one, "acme", RULES) == (owner, named)


@pytest.mark.parametrize(
    ("one", "protected"),
    [
        (role("Ops"), False),
        (role("BreakGlass1"), True),
        (role("AWSReservedSSO_Admin_0123", path="/aws-reserved/sso.amazonaws.com/"), True),
        (role("AWSServiceRoleForSupport", path="/aws-service-role/support.amazonaws.com/"), True),
        (role("Anything", path="/aws-service-role/x/"), True),
        (role("stacksets-exec-0123"), True),
        (role("AWSControlTowerExecution"), True),
    ],
)
def test_protected_roles(one, protected):
    assert is_protected(one, RULES) is protected


def test_tags_that_an_estate_speaks_of():
    assert own_tags({TAG: "acme", "aws:x": "1", "team": "blue"}) == {"team": "blue"}
