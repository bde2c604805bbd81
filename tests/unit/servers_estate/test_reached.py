"""The explanation of a decision is the decision."""

from hypothesis import given, settings
from hypothesis import strategies as some
from server_rules import ASKED, RULES

from ostiary.doors.servers.control.rules_wire import from_wire
from ostiary.doors.servers.reached import ProjectSeen, reach, said
from ostiary.doors.servers.wire.admin import Label, Project, Rule, ServerHeld, Settings
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
        "it ended with 1970-01-01T00:00:01+00:00",
        "the server has role=web",
        "the server has no zone",
    }
