"""Rules in words: what a plan shows stands for all of a rule."""

from dataclasses import fields, replace

import pytest
from examples import examples
from hypothesis import given, settings
from server_rules import ASKED, RULES

from ostiary.doors.servers.control.rules_wire import from_wire
from ostiary.doors.servers.wire.admin import Label, Rule
from ostiary.doors.servers.wire.host import SudoRule
from ostiary.doors.servers.words import day, duration, rights, sentences
from ostiary.model.server_access import decide


@pytest.mark.chaos
@pytest.mark.parametrize("name", [one.name for one in fields(Rule)])
@settings(deadline=None, max_examples=examples(12, 100))
@given(one=RULES, another=RULES)
def test_two_rules_that_read_alike_give_the_same(name, one, another):
    """Whoever reads a plan sees every difference that matters to anybody: here rules that differ in one member."""
    other = replace(one, **{name: getattr(another, name)})
    decided = [[decide([from_wire(rule)], *asked) for asked in ASKED] for rule in (one, other)]
    assert (sentences(one) == sentences(other)) <= (decided[0] == decided[1])


@pytest.mark.chaos
@settings(deadline=None, max_examples=examples(40, 100))
@given(RULES)
def test_a_rule_is_not_taken_for_nothing(rule):
    assert rights(rule)
    assert len(rights(rule)) == len(sentences(rule))


def test_every_right_and_bound_has_its_words():
    rule = Rule(
        "group:sre",
        login=True,
        admin=True,
        sudo=(SudoRule("r", ("/bin/x",), run_as="web", nopasswd=False, noexec=True),),
        forward=("db:5432",),
        agent_forwarding=True,
        x11=True,
        max_session=5400,
        servers=(Label("env", "prod"), Label("role", "web")),
        until=1801440000.0,
        source_address=("192.0.2.0/24",),
        force_command="/bin/y",
    )
    assert rights(rule) == (
        "group sre: login on env=prod, role=web",
        "group sre: admin on env=prod, role=web",
        "group sre: sudo r: /bin/x (as web, with a password, noexec) on env=prod, role=web",
        "group sre: forwarding to db:5432 on env=prod, role=web",
        "group sre: agent forwarding on env=prod, role=web",
        "group sre: X11 forwarding on env=prod, role=web",
    )
    bounds = ", 1h30m at most, from 192.0.2.0/24, only '/bin/y', until 2027-01-31"
    assert sentences(rule) == tuple(f"{right}{bounds}" for right in rights(rule))


def test_where_a_preauthorization_is_required_people_have_their_rights_with_it():
    mine, bounded = Rule("group:sre", login=True), Rule("user:k@b", login=True, max_session=60)
    assert sentences(mine, "required") == ("group sre: login on every server, when preauthorized",)
    assert sentences(bounded, "required") == (
        "user k@b: login on every server, 1m at most, when preauthorized",
    )
    for one in (mine, bounded):
        assert sentences(one, "none") == sentences(one)
    machine = Rule("machine:ci", login=True)
    assert sentences(machine, "required") == sentences(machine) == rights(machine)


@pytest.mark.parametrize(
    ("seconds", "said"), [(28800, "8h"), (5400, "1h30m"), (90, "1m30s"), (59, "59s"), (0, "")]
)
def test_durations(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("until", "said"), [(1801440000.0, "2027-01-31"), (1801440001.0, "2027-02-01 00:00:01Z")]
)
def test_the_end_of_a_rule(until, said):
    assert day(until) == said
