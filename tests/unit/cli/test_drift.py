"""What ``drift`` says by its exit code: 12 is work to do, 10 is to be run again."""

import pytest

from ostiary.cli.estate import judge
from ostiary.errors import DriftFound, Partial
from ostiary.plan.change import Plan, Unread

UNREAD = (Unread("control.example", ("server-project",), "connection refused"),)


def plan(**more):
    return Plan("acme", "0" * 64, "2026-11-28T00:00:00Z", ("control.example",), (), **more)


def test_what_could_not_be_read_is_no_difference():
    with pytest.raises(Partial, match="cannot tell whether the world differs") as refused:
        judge(plan(unread=UNREAD), "acme")
    assert "1 scope not read" in refused.value.why
    assert not isinstance(refused.value, DriftFound)


def test_nothing_to_say():
    judge(plan(), "acme")
