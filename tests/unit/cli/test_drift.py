"""What ``drift`` says by its exit code: 12 is work to do, 10 is to be run again."""

import pytest

from ostiary.cli.estate import judge
from ostiary.errors import DriftFound, Partial
from ostiary.plan.change import Change, Plan, Unread
from ostiary.plan.resource import Key

UNREAD = (Unread("control.example", ("server-project",), "connection refused"),)


def plan(*actions, **more):
    key = Key("server-project", "control.example", "prod")
    changes = tuple(Change(one, key) for one in actions)
    return Plan("acme", "0" * 64, "2026-11-28T00:00:00Z", ("control.example",), changes, **more)


def test_what_could_not_be_read_is_no_difference():
    with pytest.raises(Partial, match="cannot tell whether the world differs") as refused:
        judge(plan("unread", unread=UNREAD), "acme")
    assert refused.value.why == "1 scope not read"


@pytest.mark.parametrize("action", ["update", "foreign"])
def test_what_was_read_and_differs_is_drift_also_where_more_was_not_read(action):
    with pytest.raises(DriftFound):
        judge(plan(action, "unread", unread=UNREAD), "acme")


def test_nothing_to_say():
    judge(plan(), "acme")
