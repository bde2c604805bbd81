"""Preauthorizations by others, of others, of many: whose one is, what ends it, and what it must not cost."""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from control_world import ControlWorld, Refused
from sqlalchemy import Engine, event, insert
from test_control_attacks import until_queued
from test_preauthorization import (
    ALICE,
    PATH,
    REQUIRED,
    SRE,
    busy,
    held,
    keep_house,
    may,
    preauthorized,
    revoked,
    rows,
)

from ostiary.doors.servers import preauthorized as all_of
from ostiary.doors.servers.control import (
    org_reader,
    people,
    preauthorizations,
    preauthorizations_kept,
    projects,
    tables,
)
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import Preauthorization, Preauthorizations, Rule


def read(world, person_id, login, *, active=True, groups=("sre",)):
    """What the reader of the org keeps when somebody was renamed, put out or let in again there."""
    person = Person(person_id, login, groups, active, world.services.clock())
    with world.services.database.reading() as connection:
        ids = [one.id for one in projects.every(connection)]
    world.services.writer.write(ids, lambda c, ledger: org_reader.keep_read(c, ledger, person))


def person_id(world, login):
    with world.services.database.reading() as connection:
        (found,) = (one.id for one in people.every(connection) if one.login == login)
    return found


@pytest.mark.parametrize("known", [True, False], ids=["known before", "known since"])
def test_who_is_renamed_keeps_theirs_and_who_gets_the_login_has_none(both, known):
    both.project("prod", [SRE], REQUIRED)
    web = both.server("web1")
    if known:
        both.person("ada@acme.example", ["sre"], sub="00uada")
    made = preauthorized(both, "ada@acme.example")
    ada = both.person("ada@acme.example", ["sre"], sub="00uada")
    assert may(ada)
    read(both, "00uada", "bea@acme.example")
    assert may(ada), "the same person under another login"
    other = both.person("ada@acme.example", ["sre"], sub="00uother")
    assert not may(other), "the same login, and another person"
    assert [one.comment for one in web.state().users] == ["bea@acme.example"]
    assert [one.person for one in held(both)] == ["bea@acme.example"], "as they are called now"
    also = preauthorized(both, "ada@acme.example")
    assert may(other)
    revoked(both, made)
    assert [may(one) for one in (ada, other)] == [False, True]
    told = [body for event, body in rows(both) if event == "preauthorization.made"]
    assert [(one["preauthorization"], one["person"]) for one in told] == [
        (made.id, "ada@acme.example"),
        (also.id, "ada@acme.example"),
    ]
    assert told[1]["person_id"] == "00uother"


def test_who_left_and_came_back_has_theirs_and_a_namesake_is_another(both):
    both.project("prod", [SRE], REQUIRED)
    both.server("web1")
    ada = both.person("ada@acme.example", ["sre"], sub="00uada")
    preauthorized(both, "ada@acme.example")
    assert may(ada)
    read(both, "00uada", "ada@acme.example", active=False)
    namesake = both.person("ada@acme.example", ["sre"], sub="00uother")
    assert not may(namesake)
    assert preauthorized(both, "ada@acme.example").warnings == (), "of the one who is active"
    assert may(namesake)
    read(both, "00uada", "ada@acme.example")
    assert may(both.person("ada@acme.example", ["sre"], sub="00uada"))


@pytest.mark.parametrize("known", [True, False], ids=["known before", "known since"])
def test_the_case_of_letters_makes_no_other_login(both, known):
    """As Okta has it: whoever types the command need not know how it is written there."""
    both.project("prod", [SRE], REQUIRED)
    web = both.server("web1")
    if known:
        both.person("Ada@Acme.example", ["sre"])
    made = preauthorized(both, "aDa@acme.EXAMPLE")
    if known:
        assert (made.person, made.warnings) == ("Ada@Acme.example", ())
    ada = both.person("Ada@Acme.example", ["sre"])
    assert may(ada)
    assert [one.person for one in held(both)] == ["Ada@Acme.example"]
    assert len(web.state().users) == 1


@pytest.mark.parametrize(
    "asked",
    ["аlice@acme.example", "alice@acme.example.", "aliſe@acme.example", "00ualice", "alıce@acme.example"],  # noqa: RUF001 - look-alikes
)  # fmt: skip
def test_what_looks_alike_is_another(lasting, asked):
    name = f"p{abs(hash(asked)) % 10**8}"
    lasting.project(name, [SRE], REQUIRED)
    lasting.server(f"s{name}", name)
    alice = lasting.person(ALICE, ["sre"], sub="00ualice")
    path = PATH.replace("prod", name)
    made = lasting.admin().call(
        "POST", path, admin.NewPreauthorization(asked, 60.0, "r"), Preauthorization
    )
    assert made.warnings == (f"nobody has signed in as {asked}: see that the login is right",)
    assert not may(alice, f"s{name}")


@pytest.mark.parametrize("asked", [f" {ALICE}", f"{ALICE} ", "MACHINE:robot"])
def test_what_is_no_login_is_refused(world, asked):
    world.project("prod", [SRE], REQUIRED)
    with pytest.raises(Refused) as no:
        preauthorized(world, asked)
    assert (no.value.status, no.value.code) == (400, "bad-request")
    assert held(world) == ()


def test_nobody_is_a_machine_by_a_new_login(both):
    """Who may write logins in Okta could else make a person of theirs one that needs none, with a machine's rights."""
    both.project("prod", [SRE, Rule("machine:robot", login=True, admin=True)], REQUIRED)
    web = both.server("web1")
    alice = both.person(ALICE, ["sre"], sub="00ualice")
    read(both, "00ualice", "machine:robot")
    with pytest.raises(Refused) as no:
        alice.certificate("web1")
    assert (no.value.status, no.value.code) == (401, "no-session")
    assert web.state().users == ()
    assert person_id(both, ALICE) == "00ualice"


def test_of_two_that_are_good_the_end_of_one_is_no_news_to_hosts(both):
    """A session that began by the one goes on by the other: what a host holds is what it held."""
    both.project("prod", [SRE], REQUIRED)
    web = both.server("web1")
    alice = both.person(ALICE, ["sre"])
    short, long = preauthorized(both, seconds=1.5), preauthorized(both, seconds=600.0)
    third = preauthorized(both, server="web1", seconds=900.0)
    assert may(alice)
    state = web.state()
    revoked(both, third)
    assert web.state(state.generation) is None
    time.sleep(max(0.0, short.until - time.time()) + 0.05)
    keep_house(both)
    assert rows(both, "preauthorization.ended"), "and the project has moved"
    assert web.state(state.generation) is None
    assert may(alice)
    revoked(both, long)
    assert web.state(state.generation).users == ()


def test_a_bastion_lets_pass_while_any_behind_it_is_entered(both):
    both.project("prod", [SRE], REQUIRED)
    gate = both.server("gate")
    for number, name in enumerate(("web1", "db1")):
        both.server(name, bastion="gate", address=f"192.0.2.{number + 1}")
    both.person(ALICE, ["sre"])
    first, second = (preauthorized(both, server=name) for name in ("web1", "db1"))
    for gone, left in ((None, 2), (first, 1), (second, 0)):
        if gone:
            revoked(both, gone)
        hops = [one.forward for user in gate.state().users for one in user.entries if one.hop]
        assert sum(map(len, hops)) == left


def test_owners_of_another_project_and_who_was_one_can_do_nothing(both):
    both.project("prod", [SRE], REQUIRED)
    olga = both.person("olga@acme.example", ["prod-owners"], sub="00uolga")
    assert preauthorized(both, by=olga).by == "olga@acme.example"
    read(both, "00uolga", "olga@acme.example", groups=("sre",))
    with pytest.raises(Refused) as no:
        preauthorized(both, by=olga)
    assert (no.value.status, no.value.code) == (404, "no-project")


def fill(
    world, count, person=lambda number: f"p{number}@acme.example", reason="change 7", made_by="o@b"
):
    """So many more, as they are kept."""
    now = world.services.clock()
    with world.services.database.reading() as connection:
        project = projects.by_name(connection, "prod")

    def work(connection, _):
        row = {"project_id": project.id, "server_id": "", "until": now + 600, "reason": reason}
        row |= {"made_by": made_by, "created": now, "revoked": False, "ended": False}
        row |= {"person_id": ""}
        many = [{**row, "id": f"pre_{one:05}", "person": person(one)} for one in range(count)]
        connection.execute(insert(tables.preauthorizations), many)
        projects.changed(connection, project.id)

    world.services.writer.write([project.id], work)


@pytest.mark.parametrize("letters", ["", "\U0001f511"], ids=["short", "longest"])
def test_more_than_one_answer_holds_are_listed_whole(both, letters):
    """However many: revoking looks for its one among them."""
    both.project("prod", [SRE], REQUIRED)
    count = 2 * preauthorizations_kept.MOST + 1
    fill(
        both,
        count,
        lambda number: f"p{number}{letters * 310}",
        reason=letters * 200 or "change 7",
        made_by=letters * 320 or "o@b",
    )
    newest = preauthorized(both)
    by = both.admin()
    some = by.call("GET", PATH, kind=Preauthorizations)
    assert 1 < len(some.preauthorizations) <= preauthorizations_kept.MOST
    assert some.more == max(one.id for one in some.preauthorizations)
    found = all_of.listed(by, "prod")
    assert len({one.id for one in found}) == len(found) == count + 1
    assert found[-1] == replace(newest, warnings=())
    revoked(both, newest)
    good = all_of.listed(by, "prod", good=True)
    assert {one.id for one in good} == {one.id for one in found} - {newest.id}


def is_insert(statement):
    return statement.startswith("INSERT INTO preauthorizations")


def test_what_one_more_costs_does_not_grow_with_those_that_are_there(tmp_path):
    """All certificates of the project wait for the transaction that makes it."""
    connections = []

    def trace(driver, _):
        connections.append([])
        driver.set_trace_callback(connections[-1].append)

    event.listen(Engine, "connect", trace)
    world = ControlWorld(f"sqlite:///{tmp_path}/control.db", tmp_path)
    try:
        world.project("prod", [SRE], REQUIRED)
        fill(world, 3000, person=lambda _: ALICE)
        for one in connections:
            one.clear()
        preauthorized(world)
        asked = next(one for one in connections if any(map(is_insert, one)))
        ends = asked.index("COMMIT", next(n for n, one in enumerate(asked) if is_insert(one)))
        begins = max(n for n in range(ends) if asked[n].startswith("BEGIN"))
        selected = [one for one in asked[begins:ends] if one.startswith("SELECT")]
        with world.services.database.reading() as connection:
            counts = [len(connection.exec_driver_sql(one).all()) for one in selected]
            project = projects.by_name(connection, "prod")
            standing = preauthorizations_kept.standing(connection, project.id)
        assert counts
        assert max(counts) <= 1
        assert [len(mine) for mine in standing.values()] == [1], "the one that lasts longest"
    finally:
        world.close()
        event.remove(Engine, "connect", trace)


def test_there_is_a_most(world, monkeypatch):
    monkeypatch.setattr(preauthorizations, "MOST_GOOD", 3)
    world.project("prod", [SRE], REQUIRED)
    made = [preauthorized(world) for _ in range(3)]
    with pytest.raises(Refused) as no:
        preauthorized(world)
    assert (no.value.status, no.value.code) == (409, "too-many")
    revoked(world, made[0])
    preauthorized(world)


@pytest.mark.parametrize("text", ["~", "%00", "x" * 3000, "%F0%9F%94%91", "%ff"])
def test_what_is_no_id_is_an_answer(lasting, text):
    by = lasting.admin()
    if "ids" not in {one.name for one in by.call("GET", "/v1/projects", kind=admin.Projects).projects}:  # fmt: skip
        lasting.project("ids", [SRE], REQUIRED)
    path = "/v1/projects/ids/preauthorizations"
    asked = f"{path}?after={text}"
    status, _, _ = by.raw("GET", asked, headers=by.headers("GET", asked))
    assert status in (200, 400)
    with pytest.raises(Refused) as no:
        by.call("DELETE", f"{path}/{text}")
    assert no.value.status in (400, 404)


def test_it_is_required_for_what_was_decided_before(both):
    """Turned on between the decision and its row."""
    both.project("prod", [SRE])
    both.server("web1")
    alice = both.person(ALICE, ["sre"])
    assert may(alice)
    with both.services.database.reading() as connection:
        project = projects.by_name(connection, "prod")
    said = []
    asking = threading.Thread(target=lambda: said.append(may(alice)))
    with busy(both.services.writer):
        both.services.writer.submit(
            [project.id], lambda c, ledger: projects.put_settings(c, ledger, project, REQUIRED)
        )
        asking.start()
        until_queued(both.services.writer, 2)
    asking.join()
    assert said == [False]


@contextmanager
def asking_all_the_time(client):
    """How often somebody was let in until the end of the block, who asks again and again."""
    done, let_in = threading.Event(), []

    def ask():
        while not done.is_set():
            let_in.extend([True] * may(client))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield let_in
    finally:
        done.set()
        thread.join()


def outside(world):
    """Certificates that do not stand in the chain between the making and the end of what they are by."""
    good, wrong = set(), []
    for event_, body in rows(world, ""):
        if event_ == "preauthorization.made":
            good.add(body["preauthorization"])
        elif event_ == "preauthorization.revoked":
            good.remove(body["preauthorization"])
        elif event_ == "certificate.issued" and body["preauthorization"] not in good:
            wrong.append(body)
    return wrong


@pytest.mark.parametrize("behind", [0.0, -3.0, 3.0], ids=["same clocks", "behind", "ahead"])
def test_of_two_control_planes_neither_lets_in_by_what_the_other_ended(
    database_url, tmp_path, behind
):
    """By clocks as far apart as they may be: 5 s from the database's."""
    one = ControlWorld(database_url, tmp_path)
    other = ControlWorld(database_url, tmp_path, clock=lambda: time.time() + behind)
    try:
        one.project("prod", [SRE], REQUIRED)
        one.server("web1")
        alice = one.person(ALICE, ["sre"])
        there = other.client(alice.session)
        with asking_all_the_time(there) as let_in:
            for _ in range(8):
                before, ends = len(let_in), time.monotonic() + 20
                made = preauthorized(one)
                while len(let_in) == before:
                    assert time.monotonic() < ends
                    time.sleep(0.005)
                revoked(one, made)
                assert not may(alice)
        assert outside(one) == []
        short = preauthorized(one, seconds=1.0)
        time.sleep(max(0.0, short.until - time.time()) + 0.05)
        keep_house(one)
        assert [may(client) for client in (alice, there)] == [False, False]
    finally:
        other.close()
        one.close()
