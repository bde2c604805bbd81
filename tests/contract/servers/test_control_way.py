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
