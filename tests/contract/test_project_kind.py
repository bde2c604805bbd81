"""Projects of the control plane under the engine: what every kind must do, and what only they do."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import date

import pytest
from control_peer import ControlPeer
from control_world import ControlWorld
from kind_suite import KindCase, NamedKindSuite

from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.client.credentials import of_session
from ostiary.doors.servers.desired import key_of, projects
from ostiary.doors.servers.project_kind import ProjectKind
from ostiary.doors.servers.wire.admin import (
    NewProject,
    Project,
    Projects,
    ProjectWanted,
    Rule,
    ServerHeld,
    Settings,
)
from ostiary.errors import Conflict, GuardTripped, StalePlan
from ostiary.model.estate_text import parse
from ostiary.plan.apply import apply
from ostiary.plan.guard import Guard, Overrides
from ostiary.plan.plan import make_plan
from ostiary.plan.render import render
from ostiary.plan.resource import Resource, Risk
from ostiary.plan.runs import FolderStore
from ostiary.plan.wrap import LocalKeyWrap

TODAY = date(2026, 11, 27)
HEAD = """estate: acme
version: 1
org: {url: "https://acme.okta.com"}
servers:
  control: "https://control.acme.example"
  sudo: {restart-web: {commands: ["/usr/bin/systemctl restart nginx"]}}
  machines: {ci: {project: prod, kind: aws, owner: a@b, until: 2027-01-31, arn: "arn:aws:iam::111122223333:role/Ci"}}
  projects: {prod: {max_age: 8h, owners: [platform]}}
assignments:
"""
SRE = "  - {group: sre, may: {login: prod, sudo: [restart-web], max_session: 8h}}\n"
ADMINS = "  - {group: platform, may: {login: prod, admin: true, servers: {role: web}}}\n"
CI = '  - {machine: ci, may: {login: prod, force_command: "/usr/local/bin/deploy"}}\n'
USER = "  - {user: kim@b, may: {login: prod}, until: 2026-12-31, reason: audit}\n"


def wanted(lines, head=HEAD):
    (resource,) = projects(parse(head + lines, file="e.yaml"), TODAY)
    return dict(resource.wanted)


def held(name):
    return ServerHeld(f"srv_{name}", name, "192.0.2.1", 22, "", "active", (), 0.0, 0.0, 0.0, 0, (), (), ())  # fmt: skip


class TestProjectKind(NamedKindSuite):
    @pytest.fixture
    def case(self):
        peer = ControlPeer()

        @contextmanager
        def unreadable():
            peer.down = True
            yield
            peer.down = False

        def others():
            return {name: one for name, one in peer.dump().items() if name != "prod"}

        return KindCase(
            kind=ProjectKind("acme", peer),
            key=key_of("prod"),
            wanted=wanted(SRE + ADMINS + CI),
            wanted2=wanted(ADMINS),
            tamper=lambda: peer.change("prod", settings=Settings(max_age=5)),
            dump=peer.dump,
            add_foreign=lambda: peer.make("byhand", estate="other"),
            dump_foreign=others,
            unreadable=unreadable,
            foreign_key=key_of("theirs"),
            make_foreign=lambda: peer.make("theirs"),
        )


class Served:
    """An administrator at ``ostiary serve``."""

    def __init__(self, world):
        self.control = Control(world.url, "", of_session(world.admin().session))

    def dump(self):
        """All that a project says, but for what counts: ids, generation, authorities."""
        listed = self.control.call("GET", "/v1/projects", kind=Projects).projects
        return {one.name: replace(one, id="", generation=0, authorities=()) for one in listed}

    def make(self, name, estate=""):
        self.control.call(
            "POST", "/v1/projects", NewProject(name, 60001, 63001, "", estate), kind=Project
        )

    def change(self, name, settings):
        now = self.control.call("GET", f"/v1/projects/{name}", kind=Project)
        wanted = ProjectWanted(now.generation, settings, now.rules, now.machines, now.estate)
        self.control.call("PUT", f"/v1/projects/{name}", wanted, kind=Project)

    def clear(self):
        for name in self.dump():
            self.control.call("DELETE", f"/v1/projects/{name}")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("control")
    world = ControlWorld(f"sqlite:///{folder}/control.db", folder)
    by = Served(world)
    yield by, world
    by.control.close()
    world.close()


class TestProjectKindServed(NamedKindSuite):
    """The same against the control plane itself, over HTTP."""

    @pytest.fixture
    def case(self, served):
        by, _ = served
        by.clear()
        calls = Cut(by.control)

        @contextmanager
        def unreadable():
            calls.down = True
            yield
            calls.down = False

        return KindCase(
            kind=ProjectKind("acme", calls),
            key=key_of("prod"),
            wanted=wanted(SRE + ADMINS + CI),
            wanted2=wanted(ADMINS),
            tamper=lambda: by.change("prod", Settings(max_age=5)),
            dump=by.dump,
            add_foreign=lambda: by.make("byhand", "other"),
            dump_foreign=lambda: {name: one for name, one in by.dump().items() if name != "prod"},
            unreadable=unreadable,
            foreign_key=key_of("theirs"),
            make_foreign=lambda: by.make("theirs"),
        )


class Cut:
    """The way to a control plane that can be cut: a port where nobody listens."""

    def __init__(self, control):
        self.control = control
        self.down = False

    def call(self, *asked, **more):
        control = Control("http://127.0.0.1:1") if self.down else self.control
        return control.call(*asked, **more)


@pytest.fixture
def peer():
    return ControlPeer()


@pytest.fixture
def kind(peer):
    return ProjectKind("acme", peer)


def plan(kind, *desired):
    scopes = {kind.name: ["control"]}
    return make_plan(desired, [kind], scopes, estate="acme", workers=1)


def resource(lines):
    return Resource(key_of("prod"), wanted(lines))


def test_a_plan_says_who_gains_and_who_loses_what(kind):
    kind.create(key_of("prod"), wanted(SRE + USER))
    text = render(plan(kind, resource(ADMINS + USER)))
    assert text == (
        "control\n"
        "  ~ server-project prod\n"
        '      - access  "group sre: login on every server, 8h at most"\n'
        '      - access  "group sre: sudo restart-web: /usr/bin/systemctl restart nginx (without a password) on every server, 8h at most"\n'
        '      + access  "group platform: admin on role=web"\n'
        '      + access  "group platform: login on role=web"\n'
        "\n"
        "plan: 1 to update\n"
    )


def test_only_what_somebody_would_miss_is_counted(kind):
    found = kind.create(key_of("prod"), wanted(SRE + ADMINS + CI))
    assert (
        kind.detaches("delete", found, None) == 8
    )  # 2 of sre, 2 of platform, 1 of ci, ci, owner, other ways
    longer = wanted(SRE.replace("8h}", "9h}") + ADMINS + CI)
    assert kind.differences(found, longer) == ("access",)
    assert kind.detaches("update", found, longer) == 0
    assert kind.risk("update", found, longer) is Risk.NONE
    assert kind.detaches("update", found, wanted(ADMINS + CI)) == 2
    assert kind.risk("update", found, wanted(ADMINS + CI)) is Risk.DETACH


def test_closing_other_ways_and_taking_an_owner_off_are_counted(kind):
    found = kind.create(key_of("prod"), wanted(SRE))
    closed = wanted(SRE, HEAD.replace("max_age: 8h", "max_age: 8h, other_ways: close"))
    assert (kind.detaches("update", found, closed), kind.risk("update", found, closed)) == (
        1,
        Risk.DETACH,
    )
    unowned = wanted(SRE, HEAD.replace(", owners: [platform]", ""))
    assert (kind.detaches("update", found, unowned), kind.risk("update", found, unowned)) == (
        1,
        Risk.DETACH,
    )


def test_the_last_administrators_go_only_when_the_project_is_named(kind):
    kind.create(key_of("prod"), wanted(SRE + ADMINS))
    made = plan(kind, resource(SRE))
    with pytest.raises(GuardTripped) as refused:
        Guard(None).require(made, {"server-project": 100})
    assert "--cutover server-project:control/prod" in refused.value.fix
    named = Overrides(cutover=frozenset({"server-project:control/prod"}))
    Guard(None, (), named).require(made, {"server-project": 100})


SHUT = HEAD.replace("max_age: 8h", "max_age: 8h, preauthorization: required")


def test_to_require_a_preauthorization_is_the_loss_of_all_rights_of_people(kind):
    found = kind.create(key_of("prod"), wanted(SRE + CI))
    made = plan(kind, Resource(key_of("prod"), wanted(SRE + CI, SHUT)))
    (change,) = made.changes
    assert (change.risk, change.detaches) == (Risk.DETACH, 2)
    sre = ("login", "sudo restart-web: /usr/bin/systemctl restart nginx (without a password)")
    shown = render(made)
    for right in sre:
        assert f'- access  "group sre: {right} on every server, 8h at most"\n' in shown
        assert (
            f'+ access  "group sre: {right} on every server, 8h at most, when preauthorized"\n'
            in shown
        )
    assert "machine ci" not in shown
    assert change.differing == ("settings", "access")
    with pytest.raises(GuardTripped) as refused:
        Guard(None).require(made, {"server-project": 5})
    assert "would take away 2 of 5, the cap is 1" in refused.value.why
    both = wanted(CI, SHUT)
    assert kind.detaches("update", found, both) == 2, "what goes altogether is counted once"


def test_not_to_require_it_any_more_takes_nothing_away(kind):
    found = kind.create(key_of("prod"), wanted(SRE + ADMINS, SHUT))
    opened = wanted(SRE + ADMINS)
    assert kind.differences(found, opened) == ("settings", "access")
    assert kind.detaches("update", found, opened) == 0
    assert kind.risk("update", found, opened) is Risk.NONE
    assert kind.detaches("update", found, wanted(ADMINS, SHUT)) == 2, "as ever"
    assert kind.risk("update", found, wanted(SRE, SHUT)) is Risk.CUTOVER, "the last administrators"


def test_the_way_back_to_requiring_it_is_graded_like_the_way_there(kind):
    shut = kind.create(key_of("prod"), wanted(SRE + ADMINS, SHUT))
    assert kind.grade_image(shut, shut.raw) == (Risk.NONE, 0)
    opened = kind.update(shut, wanted(SRE + ADMINS))
    lost = kind.detaches("update", opened, wanted(SRE + ADMINS, SHUT))
    assert kind.grade_image(opened, shut.raw) == (Risk.CUTOVER, lost)
    assert lost > 1
    assert kind.grade_image(shut, opened.raw) == (Risk.NONE, 0)


@pytest.mark.parametrize("others", ["", CI.replace("login: prod", "login: prod, admin: true")])
def test_administrators_are_shut_out_only_when_the_project_is_named(kind, others):
    """A machine that stays one does not preauthorize anybody."""
    kind.create(key_of("prod"), wanted(ADMINS + others))
    made = plan(kind, Resource(key_of("prod"), wanted(ADMINS + others, SHUT)))
    with pytest.raises(GuardTripped) as refused:
        Guard(None).require(made, {"server-project": 100})
    assert "--cutover server-project:control/prod" in refused.value.fix
    named = Overrides(cutover=frozenset({"server-project:control/prod"}))
    Guard(None, (), named).require(made, {"server-project": 100})


def test_that_it_is_required_is_taken_over_and_left_behind(kind, peer):
    """What was made by hand and is wanted so is only marked; without the mark it stays so."""
    kind.create(key_of("prod"), wanted(SRE, SHUT))
    peer.change("prod", estate="")
    found = kind.look(key_of("prod"))
    assert kind.differences(found, wanted(SRE, SHUT)) == ()
    assert kind.detaches("update", found, wanted(SRE, SHUT)) == 0
    kind.release(kind.update(found, wanted(SRE, SHUT)))
    left = peer.projects["prod"]
    assert (left.estate, left.settings.preauthorization) == ("", "required")


def test_somebody_who_opens_it_by_hand_is_drift(kind, peer):
    kind.create(key_of("prod"), wanted(SRE, SHUT))
    peer.change("prod", settings=Settings(max_age=28800, owners=("platform",)))
    made = plan(kind, Resource(key_of("prod"), wanted(SRE, SHUT)))
    (change,) = made.changes
    assert change.differing == ("settings", "access")
    assert '- access  "group sre: login on every server, 8h at most"' in render(made)


def test_too_many_rights_at_once_trip_the_cap(kind):
    many = "".join(f"  - {{group: g{n}, may: {{login: prod}}}}\n" for n in range(40))
    kind.create(key_of("prod"), wanted(many))
    made = plan(kind, resource("".join(many.splitlines(keepends=True)[:20])))
    with pytest.raises(GuardTripped) as refused:
        Guard(None).require(made)
    assert "would take away 20 of 43, the cap is 8" in refused.value.why
    assert "--allow-deletions server-project=20" in refused.value.fix


def test_what_is_overdue_gives_nothing():
    estate = parse(HEAD + USER + CI, file="e.yaml")
    (later,) = projects(estate, date(2027, 2, 1))
    assert (later.wanted["access"], later.wanted["machines"]) == ([], {})


def test_a_project_with_servers_is_not_deleted(kind, peer):
    kind.create(key_of("prod"), wanted(SRE))
    peer.servers["prod"] = [held("web1"), held("web2")]
    (change,) = plan(kind).changes
    assert change.action == "foreign"
    assert "servers are enrolled: web1, web2" in change.reason
    with pytest.raises(Conflict, match="servers are enrolled"):
        kind.delete(kind.look(key_of("prod")))


def test_a_generation_that_grew_for_other_reasons_is_no_obstacle(kind, peer):
    kind.create(key_of("prod"), wanted(SRE))
    peer.moves = 3
    kind.update(kind.look(key_of("prod")), wanted(ADMINS))
    assert peer.projects["prod"].rules[0].subject == "group:platform"


def test_a_generation_that_never_rests_ends_it(kind, peer):
    kind.create(key_of("prod"), wanted(SRE))
    peer.moves = 99
    with pytest.raises(StalePlan):
        kind.update(kind.look(key_of("prod")), wanted(ADMINS))


def test_a_lost_answer_to_the_creation_is_adopted(kind, peer):
    peer.lost = ["POST /v1/projects"]
    with pytest.raises(Exception, match="cannot reach"):
        kind.create(key_of("prod"), wanted(SRE))
    kind.create(key_of("prod"), wanted(SRE))
    assert plan(kind, resource(SRE)).changes == ()


@pytest.mark.parametrize("name", ["uid_start", "gid_start", "kms"])
def test_numbers_and_keys_are_given_once(kind, peer, name):
    kind.create(key_of("prod"), wanted(SRE))
    other = {**wanted(SRE), name: "arn:x" if name == "kms" else 70001}
    before = peer.dump()
    with pytest.raises(Conflict, match="given once"):
        kind.update(kind.look(key_of("prod")), other)
    assert peer.dump() == before


def test_an_alias_stands_for_the_key_that_it_was(kind, peer):
    peer.make("prod", estate="acme", kms_key="arn:aws:kms:eu-west-1:111122223333:key/1")
    found = kind.look(key_of("prod"))
    for kms in ("alias/prod", "arn:aws:kms:eu-west-1:111122223333:key/1"):
        assert "kms" not in kind.differences(found, {**wanted(SRE), "kms": kms})
    for kms in ("", "arn:aws:kms:eu-west-1:111122223333:key/2"):
        assert "kms" in kind.differences(found, {**wanted(SRE), "kms": kms})


def test_rules_made_by_hand_are_drift(kind, peer):
    kind.create(key_of("prod"), wanted(SRE))
    (rule,) = peer.projects["prod"].rules
    peer.change("prod", rules=(rule, Rule("group:friends", login=True)))
    (change,) = plan(kind, resource(SRE)).changes
    assert "group friends: login on every server" in change.before["access"]
    assert change.detaches == 1
    assert change.differing == ("access",)


def carried_out(kind, tmp_path, made):
    """The plan done, with everything that it takes away allowed."""
    folder = tmp_path / "runs"
    gone = sum(change.detaches for change in made.writes)
    guard = Guard(None, (), Overrides({"server-project": gone}))
    store, wrap = FolderStore(folder), LocalKeyWrap.beside(folder)
    return apply(made, [kind], store=store, wrap=wrap, guard=guard)


@pytest.mark.parametrize("lost", ["POST /v1/projects", "PUT /v1/projects/prod"])
@pytest.mark.parametrize("there", [False, True], ids=["new", "there already"])
def test_a_run_whose_answers_are_lost_ends_as_wanted(kind, peer, tmp_path, lost, there):
    if there:
        kind.create(key_of("prod"), wanted(SRE))
    peer.lost = [lost]
    outcome = carried_out(kind, tmp_path, plan(kind, resource(ADMINS)))
    outcome.raise_for_result()
    assert plan(kind, resource(ADMINS)).changes == ()
    assert len(peer.projects) == 1


def test_a_deletion_whose_answer_is_lost_is_done(kind, peer, tmp_path):
    kind.create(key_of("prod"), wanted(SRE))
    peer.lost = ["DELETE /v1/projects/prod"]
    carried_out(kind, tmp_path, plan(kind)).raise_for_result()
    assert peer.projects == {}


def test_a_rule_that_somebody_set_meanwhile_is_not_overwritten(kind, peer, tmp_path):
    kind.create(key_of("prod"), wanted(SRE))
    made = plan(kind, resource(ADMINS))
    peer.change("prod", rules=(*peer.projects["prod"].rules, Rule("group:friends", login=True)))
    before = peer.dump()
    outcome = carried_out(kind, tmp_path, made)
    assert [one.result for one in outcome.results] == ["stale"]
    assert peer.dump() == before
