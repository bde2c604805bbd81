"""What is written so that one role becomes another."""

from dataclasses import replace

from ostiary.aws.iam_role_writes import alteration, creation, removal
from ostiary.model.iam import IamRole

POLICY = {"Version": "2012-10-17", "Statement": []}
BARE = IamRole("Ops", "arn:aws:iam::111122223333:role/Ops", "/", POLICY)
FULL = replace(
    BARE,
    description="d",
    max_session=7200,
    boundary_arn="arn:b",
    tags={"a": "1"},
    managed_arns=("arn:m1", "arn:m2"),
    inline={"p": POLICY},
)


def names(writes):
    return [write.operation for write in writes]


def test_nothing_differs_nothing_is_written():
    assert names(alteration(FULL, FULL)) == []


def test_a_new_role_is_bounded_and_tagged_from_its_first_moment():
    first, *others = creation(FULL)
    assert first.params["PermissionsBoundary"] == "arn:b"
    assert first.params["Tags"] == [{"Key": "a", "Value": "1"}]
    assert first.params["Path"] == "/"
    assert names(others) == ["attach_role_policy", "attach_role_policy", "put_role_policy"]


def test_only_what_differs_is_written():
    assert names(alteration(FULL, replace(FULL, description="e"))) == ["update_role"]
    assert names(alteration(FULL, replace(FULL, tags={"a": "2"}))) == ["tag_role"]
    assert names(alteration(FULL, replace(FULL, tags={}))) == ["untag_role"]
    other = replace(FULL, managed_arns=("arn:m2", "arn:m3"))
    assert names(alteration(FULL, other)) == ["detach_role_policy", "attach_role_policy"]


def test_a_boundary_comes_before_rights():
    assert names(alteration(BARE, FULL))[0] == "put_role_permissions_boundary"


def test_update_role_always_names_both_values():
    (write,) = alteration(FULL, replace(FULL, max_session=3600))
    assert write.params == {"Description": "d", "MaxSessionDuration": 3600}


def test_removal_detaches_first_and_repeats_in_peace():
    writes = list(removal(FULL))
    assert names(writes) == [
        "detach_role_policy",
        "detach_role_policy",
        "delete_role_policy",
        "delete_role",
    ]
    assert all(write.absent_is_done for write in writes)
