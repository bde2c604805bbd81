"""Whoever is put out, or moved between groups, at the org is so here; what was not read whole removes nobody."""

import json
import time

import pytest
from okta_world import cut_off, make_client, user_id
from org import make_org
from sqlalchemy import insert, select, update

from ostiary.doors.servers.control import okta_log, people
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.duties import Duties
from ostiary.doors.servers.control.freshness import LATE, STALE, OrgFreshness, OrgState, problems
from ostiary.doors.servers.control.lease import Lease, Leased
from ostiary.doors.servers.control.okta_log import OrgLog, interval
from ostiary.doors.servers.control.tables import METADATA, cursors, sessions
from ostiary.doors.servers.control.writer import Writer
from ostiary.errors import LeaseHeld, OstiaryError, Unreachable
from ostiary.sandbox.adapters import OktaTransport
from ostiary.sandbox.http import Response


@pytest.fixture
def org(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/control.db")
    METADATA.create_all(database.engine)
    writer = Writer(database)
    org = make_org(database, writer)
    org.known("ann", "ben")
    org.known("cara", groups=("Everyone", "sre"))
    org.round()
    yield org
    org.log.close()
    writer.close()
    database.close()


def place(org):
    with org.database.reading() as connection:
        return connection.execute(select(cursors)).one()


def session(org, name):
    with org.database.writing() as connection:
        connection.execute(
            insert(sessions).values(
                hash=name, person_id=user_id(org.world, name), device="", expires=9e9
            )
        )


def sessions_of(org):
    with org.database.reading() as connection:
        return set(connection.scalars(select(sessions.c.hash)))


def test_who_is_deactivated_suspended_or_deleted_is_out_after_one_round(org):
    for name in ("ann", "ben", "cara"):
        session(org, name)
    org.lifecycle("ann", "deactivate")
    org.lifecycle("ben", "suspend")
    org.round()
    assert not org.person("ann").active
    assert not org.person("ben").active
    assert org.person("ben").groups == ("Everyone", "platform"), "the audit shows who was put out"
    assert org.person("cara").active
    assert sessions_of(org) == {"cara"}
    org.lifecycle("ben", "unsuspend")
    org.round()
    assert org.person("ben").active
    assert not org.person("ann").active


def test_who_was_deleted_altogether_is_out(org):
    known = user_id(org.world, "ann")
    for _ in range(2):  # the first call deactivates, the second deletes
        org.admin("DELETE", f"/users/{known}")
    org.round()
    with org.database.reading() as connection:
        ann = people.get(connection, known)
    assert (ann.active, ann.login) == (False, "ann@acme.example")


def test_memberships_by_hand_and_by_rule_arrive(org):
    org.member("cara", "sre", inside=False)
    org.member("ann", "sre", inside=True)
    org.round()
    assert org.person("cara").groups == ("Everyone",)
    assert org.person("ann").groups == ("Everyone", "platform", "sre")
    target = org.world.okta.add_group("by-rule")
    rule = {
        "type": "group_rule",
        "name": "r",
        "conditions": {
            "expression": {
                "type": "urn:okta:expression:1.0",
                "value": 'user.firstName=="Ben"',
            }
        },
        "actions": {"assignUserToGroups": {"groupIds": [target.id]}},
    }
    made = make_client(org.world).post("/groups/rules", rule)
    org.admin("POST", f"/groups/rules/{made['id']}/lifecycle/activate")
    org.round()
    assert "by-rule" in org.person("ben").groups


def test_a_group_that_is_deleted_or_renamed_is_no_longer_held(org):
    group = org.world.okta.group("platform")
    org.admin("PUT", f"/groups/{group.id}", {"profile": {"name": "base", "description": ""}})
    org.round()
    assert org.person("ann").groups == ("Everyone", "base")
    org.admin("DELETE", f"/groups/{group.id}")
    org.round()
    assert org.person("ann").groups == ("Everyone",)


def test_a_sign_in_by_an_older_token_is_looked_at_again(org):
    """The token was made while ann was in sre; the log told of her leaving before she used it here."""
    org.world.clock.advance(1)
    org.known("ann", groups=("Everyone", "platform", "sre"))
    org.round()
    assert org.person("ann").groups == ("Everyone", "platform")


def test_everybody_is_looked_at_again_in_an_hour(org):
    org.world.okta.leave("cara@acme.example", "sre")  # an event that the log swallowed
    org.round()
    assert org.person("cara").groups == ("Everyone", "sre")
    org.world.clock.advance(okta_log.AGAIN + 1)
    org.round()
    assert org.person("cara").groups == ("Everyone",)


def test_events_that_can_be_read_late_only_are_not_missed(org):
    org.world.okta.log_delay = 20
    org.lifecycle("ann", "deactivate")
    for _ in range(3):
        org.world.clock.advance(6)
        org.round()
        assert org.person("ann").active
    org.world.clock.advance(6)
    org.round()
    assert not org.person("ann").active


def test_many_pages_are_read_to_the_end(org, monkeypatch):
    monkeypatch.setattr("ostiary.okta.system_log.PAGE", 3)
    with org.database.writing() as connection:
        connection.execute(update(cursors).values(next=""))
    for _ in range(7):
        org.lifecycle("ann", "suspend")
        org.lifecycle("ann", "unsuspend")
    org.lifecycle("ben", "deactivate")
    org.round()
    assert org.person("ann").active
    assert not org.person("ben").active


class Lying(OktaTransport):
    """Carries requests as the other one does; ``lie`` may answer in Okta's place."""

    def __init__(self, world, lie):
        super().__init__(world)
        honest = self.handler
        self.handler = lambda request: lie(request, honest(request))


def through(org, lie):
    """The poller of ``org`` behind something that changes answers."""
    client = make_client(org.world)
    liar = type(client)(
        client.url,
        client.auth,
        transport=Lying(org.world, lie),
        clock=org.world.clock.now,
        sleep=org.world.clock.advance,
    )
    return OrgLog(org.database, org.writer, liar, clock=org.world.clock.now)


def without_next(request, response):
    if request.path != "/api/v1/logs":
        return response
    kept = [(k, v) for k, v in response.headers if k != "link"]
    return Response(response.status, response.body, tuple(kept))


def of(path, body, status=200):
    def lie(request, response):
        if not request.path.endswith(path):
            return response
        return Response(status, body, (*response.headers, ("content-type", "application/json")))

    return lie


@pytest.mark.parametrize(
    "lie",
    [
        without_next,
        of("/logs", b"{}"),
        of("/logs", b"<html>proxy</html>"),
        of("/logs", b'[{"eventType":'),
        of("/groups", b"[]"),
        of("/groups", b'[{"id":"00g1","type":"OKTA_GROUP","profile":{"name":"x"}}]'),
        of("/groups", b"null"),
        of("/groups", json.dumps({"errorCode": "E0000006", "errorSummary": "no"}).encode(), 403),
        lambda request, response: (
            Response(404, b"<html>not here</html>")
            if "/users/" in request.path and not request.path.endswith("/groups")
            else response
        ),
    ],
    ids=[
        "no next link",
        "no list",
        "html",
        "half json",
        "no groups",
        "Everyone missing",
        "null",
        "forbidden",
        "404 of a proxy",
    ],
)
def test_what_is_not_whole_removes_nobody_and_counts_as_not_read(org, lie):
    org.member("ann", "platform", inside=False)
    before, read = [org.person(name) for name in ("ann", "ben", "cara")], place(org).read
    org.world.clock.advance(90)
    broken = through(org, lie)
    assert org.lease.hold()
    with pytest.raises(OstiaryError):
        broken(org.lease)
    broken.close()
    assert [org.person(name) for name in ("ann", "ben", "cara")] == before
    assert place(org).read == read
    org.round()
    assert org.person("ann").groups == ("Everyone",), "and the next whole round catches up"


def test_one_who_cannot_be_read_keeps_nobody_else_in(org):
    org.lifecycle("ann", "deactivate")
    org.member("ben", "platform", inside=False)
    ben = user_id(org.world, "ben")
    broken = through(org, of(f"{ben}/groups", b"[]"))
    assert org.lease.hold()
    with pytest.raises(Unreachable, match="Everyone"):
        broken(org.lease)
    broken.close()
    assert not org.person("ann").active
    assert org.person("ben").groups == ("Everyone", "platform")


def test_a_list_that_is_cut_between_pages_removes_nobody(org, monkeypatch):
    monkeypatch.setattr("ostiary.okta.person_now.GROUPS_OF_PAGE", 1)
    org.world.switches.cut_page_share = 1.0
    org.member("ann", "sre", inside=True)
    with pytest.raises(Unreachable):
        org.round()
    assert org.person("ann").groups == ("Everyone", "platform")
    org.world.switches.cut_page_share = 0.0
    org.round()
    assert org.person("ann").groups == ("Everyone", "platform", "sre")


def test_an_org_that_cannot_be_reached_grows_old_and_nobody_is_removed(org):
    began = place(org).read
    freshness = OrgFreshness(org.database, org.log.org, clock=org.world.clock.now)
    assert freshness.read_at() == began
    assert problems(freshness.state(), org.world.clock.now()) == ()
    with cut_off(org.world):
        org.world.clock.advance(LATE + 1)
        with pytest.raises(OstiaryError):
            org.round()
    assert place(org).read == began
    state = OrgState(began, 1.0)
    assert problems(state, began + LATE + 1) == (
        "the org's System Log was last read to its end 61 s ago: changes at the org are late",
    )
    assert "no certificates" in problems(state, began + STALE + 1)[0]
    assert org.person("ann").active


def test_a_place_that_okta_no_longer_takes_is_given_up(org):
    kept = place(org).next
    with org.database.writing() as connection:
        cut = kept[: kept.index("after=")] + "after=gone&" + kept[kept.index("after=") :]
        connection.execute(update(cursors).values(next=cut.replace("&after=", "&before=")))
    org.lifecycle("ann", "deactivate")
    org.round()
    assert not org.person("ann").active


def test_the_place_survives_the_process(org):
    org.lifecycle("ann", "deactivate")
    again = OrgLog(org.database, org.writer, make_client(org.world), clock=org.world.clock.now)
    org.world.calls.clear()
    assert org.lease.hold()
    again(org.lease)
    again.close()
    assert not org.person("ann").active
    assert "after=" in place(org).next


def test_a_poller_that_lost_its_lease_writes_nothing(org):
    org.lifecycle("ann", "deactivate")
    with org.database.writing() as connection:
        connection.execute(update(okta_log_leases()).values(holder="another", until=9e9))
    with pytest.raises(LeaseHeld):
        org.log(org.lease)
    assert org.person("ann").active


def okta_log_leases():
    return METADATA.tables["leases"]


@pytest.mark.parametrize(
    ("limit", "seconds"), [(120, 1.0), (20, 6.0), (6000, 1.0), (1, 30.0), (None, 6.0), (0, 6.0)]
)
def test_the_interval_takes_half_of_what_the_org_allows(limit, seconds):
    assert interval(limit, 0.5) == seconds


@pytest.mark.parametrize(("profile", "most"), [("workforce", 60), ("integrator", 10)])
def test_the_poller_stays_within_half_of_its_limit(org, profile, most):
    """The token's own limit, as the answers say it: half of the org's."""
    org.world.okta.profile, org.world.okta.scale = profile, 1.0
    org.world.clock.advance(120)
    org.world.calls.clear()
    until = org.world.clock.now() + 60
    while org.world.clock.now() < until:
        org.world.clock.advance(org.round())
    polls = [operation for _, operation, _ in org.world.calls if operation == "GET /api/v1/logs"]
    assert len(polls) <= most / 2 + 1
    assert place(org).interval == pytest.approx(60 / (most / 2))


def test_an_administrator_who_ends_sessions_at_the_org_ends_them_here(org):
    session(org, "ann")
    session(org, "cara")
    known = user_id(org.world, "ann")
    org.admin("DELETE", f"/users/{known}/sessions")
    org.round()
    assert sessions_of(org) == {"cara"}
    assert org.person("ann").active


def many(org, count=30):
    """So many people in platform, known here; their ids."""
    org.world.okta.scale = 1000.0
    names = [f"p{number}" for number in range(count)]
    for name in names:
        org.world.okta.add_user(
            f"{name}@acme.example", "x", first=name, last="Ace", groups=("platform", "sre")
        )
    org.known(*names, groups=("Everyone", "platform", "sre"))
    return names


def no_users(request, response):
    """The org's limit for reading people is used up by others."""
    if "/users/" not in request.path:
        return response
    return Response(403, b'{"errorCode":"E0000006","errorSummary":"no"}', response.headers)


def test_of_many_at_once_who_left_is_out_before_they_can_be_read(org):
    """Nobody is added by the log's word, and what happened last to each counts."""
    names = many(org)
    for name in names[:20]:
        org.member(name, "platform", inside=False)
    org.member(names[0], "platform", inside=True)
    for name in names[20:]:
        org.lifecycle(name, "deactivate")
    org.lifecycle(names[1], "suspend")
    org.lifecycle(names[1], "unsuspend")
    org.member("cara", "platform", inside=True)
    read, slow = place(org).read, through(org, no_users)
    assert org.lease.hold()
    with pytest.raises(OstiaryError):
        slow(org.lease)
    slow.close()
    both, less = ("Everyone", "platform", "sre"), ("Everyone", "sre")
    assert org.person(names[0]).groups == both
    assert {org.person(name).groups for name in names[1:20]} == {less}
    assert {org.person(name).active for name in names[20:]} == {False}
    assert org.person(names[1]).active
    assert org.person("cara").groups == less, "nobody gains by the log's word"
    assert place(org).read == read, "and it does not count as read"
    org.round()
    assert org.person("cara").groups == both
    assert place(org).read > 0


def test_what_failed_at_the_org_changes_nothing(org):
    names = many(org, 12)
    user = org.world.okta.user(f"{names[0]}@acme.example")
    for name in names:
        known = org.world.okta.user(f"{name}@acme.example")
        target = ((known.id, "User", known.name),)
        org.world.okta.record(
            "user.lifecycle.deactivate", (user.id, "x"), target, "FAILURE", "not allowed"
        )
    org.round()
    assert {org.person(name).active for name in names} == {True}


@pytest.mark.parametrize("how", ["person", "group"])
def test_who_loses_the_app_of_the_sign_in_is_signed_out(org, how):
    okta = org.world.okta
    ours = okta.add_native_app("Servers", groups=("platform",))
    other = okta.add_native_app("Other", groups=("platform", "sre"))
    okta.assign(ours, "cara@acme.example")
    okta.assign(other, "cara@acme.example")
    log = OrgLog(
        org.database, org.writer, make_client(org.world), app=ours.id, clock=org.world.clock.now
    )
    for name in ("ann", "cara"):
        session(org, name)
    for app in (other, ours):
        if how == "person":
            org.admin("DELETE", f"/apps/{app.id}/users/{user_id(org.world, 'cara')}")
        else:
            org.admin("DELETE", f"/apps/{app.id}/groups/{okta.group('platform').id}")
        assert org.lease.hold()
        log(org.lease)
        if app is other:
            assert sessions_of(org) == {"ann", "cara"}, "another app is another matter"
    log.close()
    assert sessions_of(org) == {"ann" if how == "person" else "cara"}
    assert org.person("ann").active


def test_the_running_duty_puts_somebody_out_within_five_seconds(tmp_path):
    """By the real clock, as ``ostiary serve`` runs it."""
    database = Database(f"sqlite:///{tmp_path}/control.db")
    METADATA.create_all(database.engine)
    writer = Writer(database)
    org = make_org(database, writer)
    org.world.clock._frozen = None
    org.world.okta.scale = 2.0
    org.known("ann")
    duties = Duties([Leased(Lease(database, okta_log.DUTY), org.log).duty()])
    try:
        freshness = OrgFreshness(database, org.log.org)
        while not freshness.read_at():
            time.sleep(0.05)
        org.lifecycle("ann", "deactivate")
        began = time.monotonic()
        while org.person("ann").active:
            assert time.monotonic() - began < 5, duties.problems()
            time.sleep(0.05)
    finally:
        duties.close()
        org.log.close()
        writer.close()
        database.close()
