"""The explanation of a decision is the decision."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from server_rules import ASKED, RULES

from ostiary.doors.servers.control.rules_wire import from_wire
from ostiary.doors.servers.reached import Judged, ProjectSeen, reach, said
from ostiary.doors.servers.wire.admin import (
    Label,
    Preauthorization,
    Project,
    Rule,
    ServerHeld,
    Settings,
)
from ostiary.model.server_access import decide


def project(*rules):
    return Project("prj_1", "prod", 1, 1, 1, 1, 1, "", Settings(), rules, (), ())


def server(name="web1", state="active", **labels):
    pairs = tuple(Label(key, value) for key, value in labels.items())
    return ServerHeld(f"srv_{name}", name, "a", 22, "", state, pairs, 0.0, 0.0, 0.0, 0, (), (), ())


@settings(deadline=None)
@given(some.lists(RULES, max_size=4), some.sampled_from(ASKED))
def test_why_says_what_is_decided(rules, asked):
    person, groups, labels, now = asked
    seen = ProjectSeen(project(*rules), (server(**labels),))
    (answer,) = reach(seen, person, groups, now)
    decided = decide([from_wire(rule) for rule in rules], person, groups, labels, now)
    assert answer.may == decided.login
    assert answer.rights == said(decided)
    holding = {one.rule.split(":")[0] for one in answer.rules if one.holds}
    assert holding == {one.replace(":", " ", 1) for one in decided.because} or not decided.login


GATE = "project prod requires a preauthorization"


def preauthorization(state="good", until=100.0, server_id="", person="k@b"):
    return Preauthorization("pre_1", person, server_id, "", until, "change 7", "o@b", 0.0, state)


ADMINS = Rule("group:a", login=True, admin=True)


def gated(*some, rules=(ADMINS,), servers=None, person="k@b"):
    required = replace(project(*rules), settings=Settings(preauthorization="required"))
    seen = ProjectSeen(required, servers or (server(),), some)
    return list(reach(seen, person, {"a"}, 50.0))


def test_who_is_preauthorized_enters_and_by_whom_is_said():
    (answer,) = gated(preauthorization())
    assert (answer.may, answer.rights, answer.after) == (True, ("login", "admin"), ())
    because = "pre_1 by o@b until 1970-01-01 00:01:40Z: change 7"
    assert answer.rules[0] == Judged(GATE, holds=True, because=because)


@pytest.mark.parametrize(
    "made",
    [
        (),
        (preauthorization("revoked"),),
        (preauthorization("ended", until=40.0),),
        (preauthorization(until=50.0),),
        (preauthorization(person="l@b"),),
        (preauthorization(server_id="srv_db1"),),
    ],
    ids=["none", "revoked", "ended", "at its end", "of another", "for another"],
)
def test_who_is_not_may_nothing_and_what_would_be_is_said(made):
    (answer,) = gated(*made)
    assert (answer.may, answer.rights) == (False, ("nothing: no preauthorization is good now",))
    assert answer.after == ("login", "admin")
    assert answer.as_json()["when_preauthorized"] == ["login", "admin"]
    assert answer.rules[0] == Judged(GATE, holds=False, because="none is good now")
    assert answer.rules[1].holds


def test_one_for_a_server_is_told_for_that_server():
    answers = gated(preauthorization(server_id="srv_db1"), servers=(server("db1"), server("web1")))
    assert {one.server: one.may for one in answers} == {"db1": True, "web1": False}


def test_of_a_preauthorization_nothing_is_said_to_whom_no_rule_lets_in_nor_of_machines():
    (nobody,) = gated(rules=(Rule("group:b", login=True),))
    assert (nobody.may, nobody.after, [one.rule for one in nobody.rules]) == (
        False,
        (),
        ["group b: login on every server"],
    )
    (machine,) = gated(rules=(Rule("machine:ci", login=True),), person="machine:ci")
    assert (machine.may, [one.holds for one in machine.rules]) == (True, [True])
    (away,) = gated(servers=(server(state="quarantined"),))
    assert (away.may, away.rights, away.after) == (False, ("nothing: it is quarantined",), ())


def test_a_quarantined_server_is_entered_by_nobody_and_a_retired_one_is_gone():
    rule = Rule("group:a", login=True)
    seen = ProjectSeen(project(rule), (server("web1", "quarantined"), server("web2", "retired")))
    (answer,) = reach(seen, "k@b", {"a"}, 0.0)
    assert (answer.server, answer.may, answer.rights) == (
        "web1",
        False,
        ("nothing: it is quarantined",),
    )


def test_a_project_without_servers_answers_for_itself():
    rules = (
        Rule("group:a", login=True),
        Rule("group:a", admin=True, login=True, servers=(Label("role", "web"),)),
    )
    (answer,) = reach(ProjectSeen(project(*rules), ()), "k@b", {"a"}, 0.0)
    assert (answer.server, answer.may, answer.rights) == ("", True, ("login",))
    assert "a server with role=web is not there yet" in {one.because for one in answer.rules}


def test_what_is_missing_is_said():
    rules = [
        Rule("group:b", login=True),
        Rule("user:z@b", login=True),
        Rule("group:a", login=True, until=1.0),
        Rule("group:a", login=True, servers=(Label("role", "db"),)),
        Rule("group:a", login=True, servers=(Label("zone", "x"),)),
    ]
    (answer,) = reach(ProjectSeen(project(*rules), (server(role="web"),)), "k@b", {"a"}, 5.0)
    assert {one.because for one in answer.rules} == {
        "not in group b",
        "it is of user z@b",
        "it ended with 1970-01-01 00:00:01Z",
        "the server has role=web",
        "the server has no zone",
    }
