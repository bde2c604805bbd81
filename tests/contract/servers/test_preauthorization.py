"""Where a project requires it, rules of people count only while an owner has preauthorized them: certificates, hosts, lists."""

import json
import threading
import time
from contextlib import contextmanager

import pytest
from control_world import ControlWorld, Refused
from joserfc import jwk, jwt
from sqlalchemy import Engine, event, func, select
from test_control_attacks import until_queued

from ostiary.doors.servers.control import preauthorizations, projects, tables
from ostiary.doors.servers.control.housekeeping import FORGET_SECONDS, Housekeeping
from ostiary.doors.servers.control.sessions import SECONDS as SESSION
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import (
    Label,
    Machine,
    NewPreauthorization,
    Preauthorization,
    Preauthorizations,
    Rule,
    Settings,
)
from ostiary.doors.servers.wire.person import MachineSignIn, Servers, Session

PATH = "/v1/projects/prod/preauthorizations"
ALICE, BOB = "alice@acme.example", "bob@acme.example"
SRE = Rule("group:sre", login=True)
REQUIRED = Settings(preauthorization="required", owners=("prod-owners",))


def preauthorized(world, person=ALICE, seconds=600.0, server="", by=None, reason="change 7"):
    asked = NewPreauthorization(person, seconds, reason, server)
    return (by or world.admin()).call("POST", PATH, asked, Preauthorization)


def revoked(world, one):
    world.admin().call("DELETE", f"{PATH}/{one.id}")


def held(world):
    return world.admin().call("GET", PATH, kind=Preauthorizations).preauthorizations


def may(client, server="web1", **more):
    """Whether somebody gets a certificate; False where a preauthorization is all that is missing."""
    try:
        return bool(client.certificate(server, **more))
    except Refused as no:
        if (no.status, no.code) != (403, "no-preauthorization"):
            raise
        return False


def rows(world, events="preauthorization."):
    with world.services.database.reading() as connection:
        query = select(tables.audit.c.event, tables.audit.c.body).order_by(tables.audit.c.number)
        found = connection.execute(query).all()
    return [(one.event, json.loads(one.body)) for one in found if one.event.startswith(events)]


def alice_id(world):
    with world.services.database.reading() as connection:
        query = select(tables.people.c.id).where(tables.people.c.login == ALICE)
        return connection.scalars(query).one()


def keep_house(world):
    services = world.services
    Housekeeping(services.database, services.writer, services.clock, 30 * 86400.0)(None)


def entries(client):
    return {one.name: one.may for one in client.call("GET", "/v1/servers", kind=Servers).servers}


def test_rules_count_while_a_preauthorization_is_good_and_on_hosts_too(both):
    both.project("prod", [SRE], REQUIRED)
    web = both.server("web1")
    alice = both.person(ALICE, ["sre"])
    with pytest.raises(Refused) as no:
        alice.certificate("web1")
    assert (no.value.status, no.value.code) == (403, "no-preauthorization")
    assert no.value.refusal.why == (
        f"cannot enter web1: project prod requires a preauthorization, and {ALICE} has none that is good now"
    )
    assert no.value.refusal.fix == (
        "ask an owner of project prod to run:"
        f" ostiary servers preauthorization create {ALICE} --project prod --hours 2 --reason TEXT"
    )
    assert not may(alice, purpose="x509")
    state = web.state()
    assert state.users == ()
    made = preauthorized(both)
    assert alice.certificate("web1")
    after = web.state(state.generation)
    assert [one.login for one in after.users] == ["alice"]
    assert rows(both, "certificate.issued")[0][1]["preauthorization"] == made.id
    revoked(both, made)
    assert not may(alice)
    assert web.state(after.generation).users == ()
    again = preauthorized(both)
    assert may(alice)
    assert [one.uid for one in web.state().users] == [after.users[0].uid], "the former number"
    assert [one.state for one in held(both)] == ["revoked", "good"]
    assert {one.id for one in held(both)} == {made.id, again.id}


def test_it_ends_to_the_second_and_hosts_hear_of_it(both):
    """However it was remembered: each answer here comes after one that let alice in."""
    both.project("prod", [SRE], REQUIRED)
    web = both.server("web1")
    alice, bob = both.person(ALICE, ["sre"]), both.person(BOB, ["sre"])
    made = preauthorized(both, seconds=4.0)
    preauthorized(both, BOB)
    assert [may(one) for one in (alice, bob)] == [True, True]
    state = web.state()
    assert len(state.users) == 2
    keep_house(both)
    assert web.state(state.generation) is None, "nothing has ended yet"
    time.sleep(max(0.0, made.until - time.time()) + 0.05)
    assert [may(one) for one in (alice, bob)] == [False, True]
    for _ in range(2):
        keep_house(both)
    assert [one.login for one in web.state(state.generation).users] == ["bob"]
    assert [one.state for one in held(both)] == ["ended", "good"]
    (ended,) = rows(both, "preauthorization.ended")
    assert ended[1] == {
        "preauthorization": made.id,
        "person": ALICE,
        "person_id": alice_id(both),
        "server": "",
        "until": made.until,
        "reason": "change 7",
        "made_by": "admin@acme.example",
    }
    revoked(both, made)
    assert held(both)[0].state == "ended", "it was over"
    assert not rows(both, "preauthorization.revoked")


@contextmanager
def busy(writer):
    """A writer that is busy until the end of the block."""
    gate, begun = threading.Event(), threading.Event()

    def work(connection, ledger):
        begun.set()
        assert gate.wait(20)

    writer.submit([], work)
    assert begun.wait(5)
    try:
        yield
    finally:
        gate.set()


@pytest.mark.parametrize("how", ["revoked", "ended", "replaced"])
def test_what_is_over_between_the_decision_and_its_row_gives_nothing(both, how):
    both.project("prod", [SRE], REQUIRED)
    both.server("web1")
    alice = both.person(ALICE, ["sre"])
    made = preauthorized(both, seconds=4.0 if how == "ended" else 600.0)
    other = preauthorized(both, seconds=300.0) if how == "replaced" else None
    assert may(alice)
    with both.services.database.reading() as connection:
        project = projects.by_name(connection, "prod")
    said = []
    asking = threading.Thread(target=lambda: said.append(may(alice)))
    with busy(both.services.writer):
        if how != "ended":
            both.services.writer.submit(
                [project.id],
                lambda c, ledger: preauthorizations.revoke(c, ledger, project, made.id),
            )
        asking.start()
        until_queued(both.services.writer, 1 if how == "ended" else 2)
        if how == "ended":
            assert time.time() < made.until
            time.sleep(made.until - time.time() + 0.05)
    asking.join()
    issued = [body["preauthorization"] for _, body in rows(both, "certificate.issued")]
    if other is None:
        assert (said, issued) == ([False], [made.id])
    else:
        assert (said, issued) == ([True], [made.id, other.id]), "by the one that is good"


def test_one_for_a_server_is_for_that_server(both):
    """Of three with the same labels, for which there is one memory of what rules give."""
    both.project("prod", [SRE], REQUIRED)
    gate = both.server("gate")
    web, db = (both.server(name, bastion="gate") for name in ("web1", "db1"))
    alice = both.person(ALICE, ["sre"])
    made = preauthorized(both, server="web1")
    assert (made.server, made.server_id) == ("web1", web.id)
    assert [may(alice, one) for one in ("web1", "db1", "gate")] == [True, False, False]
    assert may(alice, "gate", purpose="hop", forward_to="web1")
    assert not may(alice, "gate", purpose="hop", forward_to="db1")
    assert [len(one.state().users) for one in (db, web, db)] == [0, 1, 0]
    (user,) = gate.state().users
    assert [(one.hop, one.forward) for one in user.entries] == [(True, ("192.0.2.10:22",))]
    needs = ("needs-preauthorization",)
    assert entries(alice) == {
        "web1": ("login",),
        "db1": needs,
        "gate": ("hop", "needs-preauthorization"),
    }
    also = preauthorized(both, server=db.id)
    assert (also.server, may(alice, "db1")) == ("db1", True)
    both.admin().call("POST", f"/v1/servers/{web.id}/retire")
    both.server("web1")
    assert not may(alice), "another of the same name is another"
    assert [one.server for one in held(both)] == ["web1", "db1"]


def test_any_of_several_is_enough_and_the_longest_is_named(both):
    both.project("prod", [SRE], REQUIRED)
    both.server("web1")
    alice = both.person(ALICE, ["sre"])
    some = [preauthorized(both, seconds=one) for one in (60.0, 3600.0, 600.0)]
    some.append(preauthorized(both, server="web1", seconds=30.0))
    for gone, left in ((1, 2), (2, 0), (0, 3)):
        revoked(both, some[gone])
        assert may(alice)
        assert rows(both, "certificate.issued")[-1][1]["preauthorization"] == some[left].id
    revoked(both, some[3])
    assert not may(alice)
    revoked(both, some[3])
    assert [event for event, _ in rows(both)].count("preauthorization.revoked") == 4


def test_one_gives_no_right(both):
    both.project("prod", [Rule("group:sre", login=True, servers=(Label("role", "web"),))], REQUIRED)
    both.server("web1", labels={"role": "web"})
    db = both.server("db1", labels={"role": "db"})
    alice, bob = both.person(ALICE, ["sre"]), both.person(BOB, ["others"])
    assert preauthorized(both).warnings == ()
    (warned,) = preauthorized(both, BOB).warnings
    assert warned == f"no rule of project prod lets {BOB} in anywhere"
    assert preauthorized(both, server="db1").warnings == (
        f"no rule of project prod lets {ALICE} in on db1",
    )
    (warned,) = preauthorized(both, "zed@acme.example").warnings
    assert warned == "nobody has signed in as zed@acme.example: see that the login is right"
    assert may(alice)
    assert entries(bob) == {}
    for client, server in ((bob, "web1"), (alice, "db1")):
        with pytest.raises(Refused) as no:
            client.certificate(server)
        assert (no.value.status, no.value.code) == (404, "no-server")
    assert db.state().users == ()


def test_who_has_rules_sees_what_to_ask_for(world):
    world.project(
        "prod", [Rule("group:sre", login=True, servers=(Label("role", "web"),))], REQUIRED
    )
    world.server("gate")
    world.server("web1", labels={"role": "web"}, bastion="gate")
    world.server("db1", labels={"role": "db"})
    world.project("test", [SRE])
    world.server("lab1", "test")
    alice = world.person(ALICE, ["sre"])
    needs = ("needs-preauthorization",)
    assert entries(alice) == {"gate": ("hop", *needs), "web1": needs, "lab1": ("login",)}
    made = preauthorized(world)
    assert entries(alice) == {"gate": ("hop",), "web1": ("login",), "lab1": ("login",)}
    revoked(world, made)
    assert entries(alice)["web1"] == needs
    assert entries(world.person(BOB, ["others"])) == {}


def test_a_server_of_that_name_where_none_is_needed_is_entered(world):
    """Two projects have one; the other is refused with words once it is named."""
    world.project("prod", [SRE], REQUIRED)
    world.server("web1")
    world.project("test", [SRE])
    there = world.server("web1", "test")
    alice = world.person(ALICE, ["sre"])
    assert alice.certificate("web1").server.server_id == there.id
    assert not may(alice, project="prod")
    preauthorized(world)
    assert may(alice, project="prod")


def test_a_project_that_does_not_require_it_is_as_it_was(both):
    both.project("prod", [SRE])
    both.server("web1")
    alice = both.person(ALICE, ["sre"])
    assert may(alice)
    made = preauthorized(both)
    assert made.warnings == (f"project prod requires none: {ALICE} needs its rules alone",)
    assert may(alice)
    assert all("preauthorization" not in body for _, body in rows(both, "certificate.issued"))
    both.project("other", [SRE])
    by = both.admin()
    for mode, let_in in (("required", True), ("none", True)):
        now = by.call("GET", "/v1/projects/prod", kind=admin.Project)
        wanted = admin.ProjectWanted(now.generation, Settings(preauthorization=mode), now.rules)
        by.call("PUT", "/v1/projects/prod", wanted, admin.Project)
        assert may(alice) is let_in
        revoked(both, made)
        assert may(alice) is (mode == "none")


def test_no_statement_more_is_asked_where_none_is_required(tmp_path):
    """Nor where it is required: what decides is remembered with the rest, and forgotten with it."""
    asked = []

    def trace(driver, _):
        driver.set_trace_callback(asked.append)

    event.listen(Engine, "connect", trace)
    world = ControlWorld(f"sqlite:///{tmp_path}/control.db", tmp_path)
    try:
        counts = {}
        for name, settings in (("none", Settings()), ("prod", REQUIRED)):
            world.project(name, [SRE], settings)
            world.server(f"web-{name}", name)
            if settings is REQUIRED:
                preauthorized(world)
            alice = world.person(ALICE, ["sre"])
            for _ in range(2):
                alice.certificate(f"web-{name}")
            many = []
            for _ in range(5):  # the duties of the control plane ask too, now and then
                asked.clear()
                alice.certificate(f"web-{name}")
                many.append(len(asked))
                assert not [one for one in asked if "preauthorizations" in one]
            counts[name] = min(many)
        assert counts["none"] == counts["prod"] > 0
    finally:
        world.close()
        event.remove(Engine, "connect", trace)


def test_machines_need_none(both):
    """They have an owner, an end and a rate; nor can they be given one."""
    key = jwk.ECKey.generate_key("P-256", {"kid": "own"})
    public = json.dumps({"keys": [key.as_dict(private=False)]})
    both.person("ada@acme.example", ["sre"])
    made = both.project("prod", [SRE, Rule("machine:robot", login=True)], REQUIRED)
    robot = Machine("robot", "private-key-jwt", "ada@acme.example", time.time() + 600, public_keys=public)  # fmt: skip
    wanted = admin.ProjectWanted(made.generation, made.settings, made.rules, (robot,))
    both.admin().call("PUT", "/v1/projects/prod", wanted, admin.Project)
    web = both.server("web1")
    now = int(time.time())
    said = {"iss": "machine:robot", "sub": "machine:robot", "aud": "https://control.example", "jti": "1"}  # fmt: skip
    proof = jwt.encode({"alg": "ES256", "kid": "own"}, {**said, "iat": now, "exp": now + 60}, key)
    client = both.client()
    asked = MachineSignIn("robot", "private-key-jwt", proof)
    client.hold(client.call("POST", "/v1/machines/sign-in", asked, Session))
    assert may(client)
    assert entries(client) == {"web1": ("login",)}
    assert [one.comment for one in web.state().users] == ["machinerobot"]
    with pytest.raises(Refused) as no:
        preauthorized(both, "machine:robot")
    assert (no.value.status, no.value.code) == (400, "bad-request")
    assert "needs none" in no.value.refusal.why


def test_owners_and_administrators_make_list_and_revoke_and_nobody_else(world):
    world.project("prod", [SRE], REQUIRED)
    world.project("test", [SRE], Settings(owners=("test-owners",)))
    world.server("web1")
    olga = world.person("olga@acme.example", ["prod-owners", "sre"])
    strangers = [
        world.person(ALICE, ["sre"]),
        world.person("tom@acme.example", ["test-owners"]),
    ]
    mine = preauthorized(world, "olga@acme.example", by=olga)
    assert may(olga), "her own"
    theirs = preauthorized(world)
    for client in strangers:
        for call in (
            ("GET", PATH, None),
            ("POST", PATH, NewPreauthorization(ALICE, 60.0, "mine")),
            ("DELETE", f"{PATH}/{theirs.id}", None),
        ):
            with pytest.raises(Refused) as no:
                client.call(*call)
            assert (no.value.status, no.value.code) == (404, "no-project")
    with pytest.raises(Refused) as no:
        strangers[1].call("DELETE", f"/v1/projects/test/preauthorizations/{theirs.id}")
    assert (no.value.status, no.value.code) == (404, "unknown-preauthorization")
    with pytest.raises(Refused) as no:
        olga.call("DELETE", f"{PATH}/pre_none")
    assert (no.value.status, no.value.code) == (404, "unknown-preauthorization")
    listed = olga.call("GET", PATH, kind=Preauthorizations).preauthorizations
    assert [(one.by, one.state) for one in listed] == [
        ("olga@acme.example", "good"),
        ("admin@acme.example", "good"),
    ]
    olga.call("DELETE", f"{PATH}/{theirs.id}")
    kept = {"person": ALICE, "person_id": alice_id(world), "server": "", "until": theirs.until, "reason": "change 7"}  # fmt: skip
    first, second, third = rows(world)
    assert first[1]["by"] == first[1]["made_by"] == "olga@acme.example"
    assert first[1]["preauthorization"] == mine.id
    by_admin = {**kept, "preauthorization": theirs.id, "made_by": "admin@acme.example"}
    assert second == ("preauthorization.made", {**by_admin, "by": "admin@acme.example"})
    assert third == ("preauthorization.revoked", {**by_admin, "by": "olga@acme.example"})


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (NewPreauthorization(ALICE, 0.0, "r"), "0 h is not more than 0 and at most 168 h"),
        (NewPreauthorization(ALICE, 7 * 86400.0 + 1, "r"), "at most 168 h"),
        (NewPreauthorization(ALICE, -5.0, "r"), "is not more than 0"),
        (NewPreauthorization(ALICE, 60.0, ""), "the reason is not one line of text"),
        (NewPreauthorization(ALICE, 60.0, "  "), "the reason is not one line of text"),
        (NewPreauthorization(ALICE, 60.0, "two\nlines"), "the reason is not one line of text"),
        (NewPreauthorization(ALICE, 60.0, "x" * 201), "longer than 200 characters"),
        (NewPreauthorization("", 60.0, "r"), "is no login of Okta"),
        (NewPreauthorization("a\tb", 60.0, "r"), "is no login of Okta"),
        (NewPreauthorization("x" * 321, 60.0, "r"), "is no login of Okta"),
        (
            NewPreauthorization(ALICE, 60.0, "r", "web9"),
            "no server of project prod is named 'web9'",
        ),
    ],
    ids=range(11),
)
def test_what_cannot_be_made(lasting, asked, said):
    by = lasting.admin()
    if "prod" not in {one.name for one in by.call("GET", "/v1/projects", kind=admin.Projects).projects}:  # fmt: skip
        lasting.project("prod", [SRE], REQUIRED)
    with pytest.raises(Refused) as no:
        by.call("POST", PATH, asked, Preauthorization)
    assert no.value.status in (400, 404)
    assert said in no.value.refusal.why
    assert held(lasting) == ()


def test_a_mode_that_there_is_not_is_refused(world):
    made = world.project("prod", [SRE])
    wanted = admin.ProjectWanted(made.generation, Settings(preauthorization="maybe"), made.rules)
    with pytest.raises(Refused) as no:
        world.admin().call("PUT", "/v1/projects/prod", wanted, admin.Project)
    assert "preauthorization 'maybe' is none of none, required" in no.value.refusal.why


def test_what_was_over_a_month_ago_is_forgotten_and_stays_in_the_audit(database_url, tmp_path):
    ahead = [0.0]
    world = ControlWorld(database_url, tmp_path, clock=lambda: time.time() + ahead[0])
    try:
        world.project("prod", [SRE], REQUIRED)
        first = preauthorized(world)
        revoked(world, preauthorized(world))
        ahead[0] = preauthorizations.KEPT
        keep_house(world)
        assert count(world) == 2
        ahead[0] = preauthorizations.KEPT + first.until - first.created + FORGET_SECONDS
        assert ahead[0] > SESSION
        keep_house(world)
        assert count(world) == 0
        events = [event.partition(".")[2] for event, _ in rows(world)]
        assert events == ["made", "made", "revoked", "ended"]
    finally:
        world.close()


def count(world):
    with world.services.database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(tables.preauthorizations))


def test_a_project_that_is_deleted_keeps_none(both):
    both.project("prod", [SRE], REQUIRED)
    preauthorized(both)
    both.admin().call("DELETE", "/v1/projects/prod")
    assert count(both) == 0
