"""The way of one certificate: project, token, host, sign-in, issue; over HTTP, on SQLite."""

import json

import pytest
from control_world import Refused
from sqlalchemy import select

from ostiary.doors.servers.control.tables import audit, certificates
from ostiary.doors.servers.wire.admin import Label, Rule
from ostiary.pki import ssh_certificate, ssh_key


def test_somebody_gets_a_certificate_for_one_server(world):
    world.project("prod", [Rule("group:sre", login=True, servers=(Label("role", "web"),))])
    web = world.server("web1", labels={"role": "web"})
    world.server("db1", labels={"role": "db"})
    alice = world.person("alice@acme.example", ["sre"])
    issued = alice.certificate("web1")
    made = ssh_certificate.parse(issued.certificate)
    ssh_certificate.verify(made)
    assert made.principals == (f"alice@{web.id}",)
    assert made.valid_before - made.valid_after == 180
    with world.services.database.reading() as connection:
        row = connection.execute(select(certificates)).one()
        told = connection.execute(select(audit).where(audit.c.event == "certificate.issued")).one()
    assert str(row.serial) == issued.serial == str(made.serial) == json.loads(told.body)["serial"]
    with pytest.raises(Refused) as no:
        alice.certificate("db1")
    assert (no.value.status, no.value.code) == (404, "no-server")


def test_a_host_hears_who_may_enter(world):
    world.project("prod", [Rule("group:sre", login=True)])
    web = world.server("web1")
    state = web.state()
    assert state.users == ()
    held = ssh_certificate.parse(state.host_certificate)
    assert held.principals == (web.id, "web1")
    assert ssh_key.parse(web.public) == held.key
    assert web.state(state.generation) is None, "304 while nothing changed"
    world.person("alice@acme.example", ["sre"])
    state = web.state(state.generation, wait=10)
    assert [one.login for one in state.users] == ["alice"]
    assert (state.users[0].uid, state.users[0].gid) == (60001, 63001)
    assert [one.principal for one in state.users[0].entries] == [f"alice@{web.id}"]


def test_a_group_of_okta_is_one_of_hosts_with_a_number_of_its_own(both):
    world = both
    web = Label("role", "web")
    world.project(
        "prod",
        [
            Rule("group:SRE Team", login=True),
            Rule("group:docker", login=True, servers=(web,)),
            Rule("user:bob@acme.example", login=True),
        ],
    )
    host = world.server("web1", labels={"role": "web"})
    db = world.server("db1", labels={"role": "db"})
    world.person("alice@acme.example", ["SRE Team", "docker"])
    world.person("bob@acme.example", ["docker"])
    state = host.state()
    groups = {one.name: one.gid for one in state.groups}
    assert set(groups) == {"okta-sre-team", "okta-docker"}
    members = {one.login: set(one.groups) for one in state.users}
    assert members == {"alice": {"okta-sre-team", "okta-docker"}, "bob": {"okta-docker"}}
    gids = [*groups.values(), *(one.gid for one in state.users)]
    assert sorted(gids) == list(range(63001, 63005)), "no number twice"
    there = db.state()
    assert {one.name: one.gid for one in there.groups} == {"okta-sre-team": groups["okta-sre-team"]}
    assert {one.login: one.groups for one in there.users} == {
        "alice": ("okta-sre-team",),
        "bob": (),
    }
