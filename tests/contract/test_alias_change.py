"""A changed account alias renames role groups: nobody loses a role for a moment, nothing is made anew."""

from __future__ import annotations

import pytest
from fleet import fleet


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = fleet(tmp_path, 3)
    for name, value in made.env().items():
        monkeypatch.setenv(name, value)
    work = made.work()
    outcome = work.apply(work.plan())
    assert outcome.converged
    return made


def role_groups(world):
    return {
        group.name: group.id
        for group in world.okta.groups.values()
        if group.name.startswith("aws#")
    }


def test_an_alias_change_renames_the_groups_and_keeps_ids_and_members(world):
    before = role_groups(world)
    account = world.account(0)
    account.rename("brand-new-alias", 0.0)
    work = world.work()
    plan = work.plan()
    groups = [change for change in plan.changes if change.key.kind == "okta-group"]
    assert [change.action for change in groups] == ["update"] * 3
    assert all(change.differing == ("name",) for change in groups)
    assert not [change for change in plan.changes if change.key.kind == "okta-role-group-members"]

    outcome = work.apply(plan)
    assert outcome.converged, [str(one) for one in outcome.results if one.result != "done"]
    after = role_groups(world)
    assert set(before.values()) == set(after.values())
    assert {name for name in after if "brand-new-alias" in name} == set(after) - set(before)
    assert work.prove().holds
    assert world.work().plan().is_empty


def test_a_group_renamed_by_hand_gets_its_name_back(world):
    before = role_groups(world)
    name, group_id = next(iter(before.items()))
    world.okta.groups[group_id].name = "old name by hand"
    work = world.work()
    outcome = work.apply(work.plan())
    assert outcome.converged
    assert role_groups(world)[name] == group_id
