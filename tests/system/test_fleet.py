"""The whole main job on many accounts, in process: what it costs in calls, and that a second plan finds nothing to do."""

from __future__ import annotations

import os

import pytest
from fleet import MANAGEMENT, ROLES, fleet

ACCOUNTS = 1000 if os.environ.get("OSTIARY_CHAOS") == "full" else 200
READ_ONE = {  # all of a no-op plan's calls in one account
    "AssumeRole": 1,
    "ListRoles": 1,
    "GetAccountAuthorizationDetails": 1,
    "ListAccountAliases": 1,
    "GetSAMLProvider": 1,
}
OKTA_CALLS_OF_A_NO_OP = 40  # and one for each source group, and each page of groups


@pytest.fixture(scope="module")
def applied(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        world = fleet(tmp_path_factory.mktemp("fleet"), ACCOUNTS)
        for name, value in world.env().items():
            patch.setenv(name, value)
        work = world.work()
        outcome = work.apply(work.plan())
        yield world, work, outcome


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_every_account_is_federated_and_a_second_plan_is_empty_at_five_calls_an_account(applied):
    world, work, outcome = applied
    assert outcome.converged
    assert work.prove().holds
    for account in world.accounts:
        held = world.cloud.account(account)
        assert {role.name for role in held.roles} >= set(ROLES)
        assert len(held.saml_providers) == 1
    first = world.calls()
    assert first.aws()["CreateRole"] == ACCOUNTS * len(ROLES)
    assert first.okta()["POST /api/v1/groups"] == ACCOUNTS * len(ROLES)

    again = world.work("plan").plan()
    calls = world.calls()
    assert again.is_empty
    assert calls.mutating == []
    for account in world.accounts:
        assert calls.in_account(account) == READ_ONE
    organization = next(iter(world.cloud.organizations.values()))
    parents = len(organization.ous) + 1
    pages = sum(calls.in_account(MANAGEMENT).values())
    assert pages <= 2 * parents + ACCOUNTS / 20 + 10, "two calls an OU, and pages of 20 accounts"
    groups = ACCOUNTS * len(ROLES)
    sources = len(world.okta.groups) - groups
    assert calls.okta().total() <= OKTA_CALLS_OF_A_NO_OP + sources + 5 * groups / 200
