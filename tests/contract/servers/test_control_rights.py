"""Who may ask what: every route with every role, and the paths and ids of other projects."""

import json

import pytest
from control_world import ADMINS, Refused, signing_in

from ostiary.doors.servers.control import app
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import Devices, Projects, Rule, Settings
from ostiary.doors.servers.wire.message import encode
from ostiary.doors.servers.wire.person import Servers, Session

SRE = "group:sre"
PREAUTHORIZATION = admin.NewPreauthorization("alice@acme.example", 60.0, "change 7")
NOBODY_MAY = (401, 404)
ROLES = ("nobody", "person", "owner of another", "owner", "administrator")


@pytest.fixture
def roles(world):
    """Two projects, each with an owner and a server; a client for every role."""
    world.project("prod", [Rule(SRE, login=True)], Settings(owners=("prod-owners",)))
    world.project("test", [Rule(SRE, login=True)], Settings(owners=("test-owners",)))
    world.web = world.server("web1", "prod")
    return {
        "nobody": world.client(),
        "person": world.person("alice@acme.example", ["sre"]),
        "owner of another": world.person("tom@acme.example", ["test-owners"]),
        "owner": world.person("olga@acme.example", ["prod-owners"]),
        "administrator": world.admin(),
    }


def attempts(world):
    """Method, path, message of each request about the project ``prod``, and the lowest role that may."""
    wanted = admin.ProjectWanted(0, Settings(owners=("prod-owners",)), ())
    project = "/v1/projects/prod"
    return [
        ("GET", project, None, "owner"),
        ("PUT", project, wanted, "owner"),
        ("GET", f"{project}/tokens", None, "owner"),
        ("POST", f"{project}/tokens", admin.NewToken(1, 60.0), "owner"),
        ("DELETE", f"{project}/tokens/tok_none", None, "owner"),
        ("GET", f"{project}/preauthorizations", None, "owner"),
        ("POST", f"{project}/preauthorizations", PREAUTHORIZATION, "owner"),
        ("DELETE", f"{project}/preauthorizations/pre_none", None, "owner"),
        ("GET", f"{project}/servers", None, "owner"),
        ("GET", f"{project}/audit?after=0", None, "owner"),
        ("GET", f"{project}/checkpoints", None, "owner"),
        ("POST", f"{project}/slips", admin.Slip("r", ()), "owner"),
        ("POST", f"{project}/authorities", admin.Rotation("user", "none"), "owner"),
        ("POST", "/v1/projects", admin.NewProject("prod", 1, 1), "administrator"),
        ("DELETE", project, None, "administrator"),
        ("POST", f"/v1/servers/{world.web.id}/release", None, "owner"),
        ("POST", f"/v1/servers/{world.web.id}/retire", None, "owner"),
    ]


def test_every_route_with_every_role(world, roles):
    for method, path, message, lowest in attempts(world):
        for role in ROLES:
            status = ask(roles[role], method, path, message)
            may = ROLES.index(role) >= ROLES.index(lowest)
            told = (method, path, role, status)
            assert (status not in (401, 403)) == may or status == 404, told
            if not may and role == "nobody":
                assert status == 401, told
            if not may and role not in ("nobody", "owner"):
                assert status in (403, 404), told
            if may:
                assert status in (200, 204, 400, 404, 409, 412), told
                assert status != 404 or "_none" in path or "web1" in path or "servers" in path, told


def test_a_project_of_others_is_answered_like_none(world, roles):
    for role in ("person", "owner of another"):
        for path in ("", "/tokens", "/preauthorizations", "/servers", "/audit?after=0", "/checkpoints"):  # fmt: skip
            there = asked(roles[role], "GET", f"/v1/projects/prod{path}")
            nowhere = asked(roles[role], "GET", f"/v1/projects/xxxx{path}")
            assert there[0] == nowhere[0] == 404
            assert there[2].replace(b"prod", b"xxxx") == nowhere[2]
        held = roles[role].call("GET", "/v1/projects", kind=Projects).projects
        assert [one.name for one in held] == (["test"] if role == "owner of another" else [])


def test_a_token_of_another_project_is_not_revoked(world, roles):
    path = "/v1/projects/prod/tokens"
    made = roles["owner"].call("POST", path, admin.NewToken(1, 60.0), admin.MadeToken)
    status = ask(roles["owner of another"], "DELETE", f"/v1/projects/test/tokens/{made.id}", None)
    assert status == 404
    world.host().enroll(made.token, "web9")


def test_an_owner_does_not_say_who_owns(world, roles):
    project = roles["owner"].call("GET", "/v1/projects/prod", kind=admin.Project)
    wanted = admin.ProjectWanted(project.generation, Settings(owners=("sre",)), ())
    assert ask(roles["owner"], "PUT", "/v1/projects/prod", wanted) == 403
    same = admin.ProjectWanted(project.generation, project.settings, ())
    assert ask(roles["owner"], "PUT", "/v1/projects/prod", same) == 200
    assert ask(roles["owner"], "PUT", "/v1/projects/prod", same) == 412, "read before that"


def test_people_see_and_revoke_their_own_devices(world, roles):
    alice = roles["person"]
    bob = world.person("bob@acme.example", ["sre"])
    mine = alice.call("GET", "/v1/devices", kind=Devices).devices
    assert [one.person for one in mine] == ["alice@acme.example"]
    every = roles["administrator"].call("GET", "/v1/devices", kind=Devices).devices
    known = {one.person.partition("@")[0] for one in every}
    assert known == {"admin", "alice", "bob", "olga", "tom"}
    theirs = bob.session.device
    assert ask(alice, "DELETE", f"/v1/devices/{theirs}", None) == 404
    assert bob.certificate("web1")
    assert ask(bob, "DELETE", f"/v1/devices/{theirs}", None) == 204
    with pytest.raises(Refused) as no:
        bob.call("GET", "/v1/servers", kind=Servers)
    assert (no.value.status, no.value.code) == (401, "no-session")


def test_sessions_end(world, roles):
    alice = roles["person"]
    alice.call("POST", "/v1/sign-out")
    assert ask(alice, "GET", "/v1/servers", None) == 401
    for token in ("", "x", alice.token[:-1], alice.token + " ", "Bearer"):
        alice.token = token
        assert ask(alice, "GET", "/v1/servers", None) == 401


def test_an_id_token_opens_one_session(world):
    token = world.issuer.token("alice@acme.example")
    client = world.client()
    assert client.call("POST", "/v1/sign-in", signing_in(token), Session)
    with pytest.raises(Refused) as no:
        client.call("POST", "/v1/sign-in", signing_in(token), Session)
    assert (no.value.status, no.value.code) == (401, "invalid-token")


def test_every_route_that_is_served_is_in_the_matrix(world, roles):
    known = {(method, path.partition("?")[0]) for method, path, _, _ in attempts(world)}
    open_to_all = {
        ("GET", "/healthz"),
        ("GET", "/v1/sign-in"),
        ("POST", "/v1/sign-in"),
        ("POST", "/v1/machines/sign-in"),
        ("POST", "/v1/hosts/challenge"),
    }
    by_host = {
        ("POST", "/v1/hosts/enroll"),
        ("GET", "/v1/hosts/state"),
        ("POST", "/v1/hosts/report"),
        ("POST", "/v1/hosts/retire"),
    }
    own = {
        ("GET", "/v1/projects"),
        ("GET", "/v1/servers"),
        ("POST", "/v1/certificates"),
        ("POST", "/v1/sign-out"),
        ("GET", "/v1/status"),
        ("GET", "/v1/devices"),
        ("DELETE", "/v1/devices/{id}"),
    }
    served = set()
    for route in app.build(world.services).others.routes:
        path = route.path.replace("{name}", "prod")
        path = path.replace("/tokens/{id}", "/tokens/tok_none")
        path = path.replace("/preauthorizations/{id}", "/preauthorizations/pre_none")
        path = path.replace("/servers/{id}", f"/servers/{world.web.id}")
        served |= {(method, path) for method in route.methods - {"HEAD"}}
    assert served == known | open_to_all | by_host | own
    for method, path in by_host:
        assert ask(roles["administrator"], method, path, None) == 401
    for method, path in own:
        assert ask(roles["nobody"], method, path, None) == 401


def test_a_machine_is_no_administrator(world):
    with pytest.raises(Refused):
        world.person("machine:ci", [ADMINS])


def asked(client, method, path, body=b""):
    return client.raw(method, path, body, client.headers(method, path, body))


def ask(client, method, path, message):
    return asked(client, method, path, encode(message) if message is not None else b"")[0]


def test_the_audit_says_who_did_it(world, roles):
    olga = roles["owner"]
    made = olga.call("POST", "/v1/projects/prod/tokens", admin.NewToken(1, 60.0), admin.MadeToken)
    assert ask(olga, "DELETE", f"/v1/projects/prod/tokens/{made.id}", None) == 204
    assert ask(olga, "POST", f"/v1/servers/{world.web.id}/retire", None) == 204
    project = olga.call("GET", "/v1/projects/prod", kind=admin.Project)
    wanted = admin.ProjectWanted(project.generation, project.settings, ())
    assert ask(olga, "PUT", "/v1/projects/prod", wanted) == 200
    rows = olga.call("GET", "/v1/projects/prod/audit?after=0", kind=admin.AuditRows).rows
    by = {}
    for one in rows:
        by.setdefault(one.event, []).append(json.loads(one.body).get("by"))
    assert by["project.created"] == ["admin@acme.example"]
    assert by["token.created"][-1] == by["token.revoked"][-1] == "olga@acme.example"
    assert by["server.retired"] == ["olga@acme.example"]
    assert by["rules.changed"] == ["admin@acme.example", "olga@acme.example"]
    assert by["server.enrolled"][0].startswith("token tok_")
