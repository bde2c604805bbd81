"""Whoever asked a moment ago is not looked up again, and gets nothing that they would not get then; what is signed while the
disk writes leaves only when both are good."""

import time

import pytest
from control_world import ControlWorld, Refused
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, select

from ostiary.doors.servers.control import inventory, people, projects, sessions
from ostiary.doors.servers.control.chain import Row, faults
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.secret import token_hash
from ostiary.doors.servers.control.tables import audit, certificates, entitlements
from ostiary.doors.servers.wire.admin import Project, ProjectWanted, Rule, Settings
from ostiary.pki.signer import LocalSigner

SRE = Rule("group:sre", login=True)


def refused(client):
    with pytest.raises(Refused) as no:
        client.certificate("web1")
    return no.value.code


def rows(world):
    """The audit of the project, which is whole, and the serials that are kept."""
    with world.services.database.reading() as connection:
        found = connection.execute(select(audit).order_by(audit.c.number)).all()
        serials = connection.scalars(select(certificates.c.serial)).all()
    assert not list(faults(Row(*one) for one in found))
    return [one.event for one in found], serials


def test_who_signed_out_gets_nothing_in_the_same_second(both):
    both.project(rules=[SRE])
    both.server("web1")
    ada = both.person("ada@acme.example", ["sre"])
    for _ in range(3):
        assert ada.certificate("web1")
    ada.call("POST", "/v1/sign-out")
    assert [refused(ada) for _ in range(3)] == ["no-session"] * 3


def test_who_was_put_out_by_another_process_gets_nothing_in_the_same_second(both):
    both.project(rules=[SRE])
    both.server("web1")
    ada, bob = (both.person(f"{name}@acme.example", ["sre"]) for name in ("ada", "bob"))
    assert ada.certificate("web1")
    assert bob.certificate("web1")
    with both.services.database.writing() as connection:
        sessions.end(connection, token_hash(ada.token))
    assert refused(ada) == "no-session"
    assert bob.certificate("web1")


def test_a_session_ends_when_it_ends_however_lately_it_was_seen(tmp_path):
    late = 0.0
    world = ControlWorld(
        f"sqlite:///{tmp_path}/control.db", tmp_path, clock=lambda: time.time() + late
    )
    try:
        world.project(rules=[SRE])
        world.server("web1")
        ada = world.person("ada@acme.example", ["sre"])
        assert ada.certificate("web1")
        late = sessions.SECONDS + 1.0
        assert refused(ada) in ("no-session", "stale")
        late = 0.0
        assert ada.certificate("web1")
    finally:
        world.close()


def test_one_session_is_looked_up_once_for_many_servers(world):
    world.project(rules=[SRE])
    world.server("web1")
    ada = world.person("ada@acme.example", ["sre"])
    assert ada.certificate("web1")
    before = people.groups_of.cache_info().hits
    serials = {ada.certificate("web1").serial for _ in range(20)}
    assert len(serials) == 20
    read = people.groups_of.cache_info().hits - before
    assert 20 <= read < 40  # by each transaction, and not by a look-up before each


class Liar:
    """Signs with another key than the one that it shows."""

    def __init__(self, honest):
        self.public_key, self.algorithm = honest.public_key, honest.algorithm
        self._other = LocalSigner(Ed25519PrivateKey.generate())

    def sign(self, data):
        return self._other.sign(data)


def test_what_is_signed_wrongly_while_the_disk_writes_does_not_leave(both):
    both.project(rules=[SRE])
    both.server("web1")
    ada = both.person("ada@acme.example", ["sre"])
    assert ada.certificate("web1")
    opened = both.services.authorities._open
    honest = dict(opened)
    opened.update({one: Liar(signer) for one, signer in honest.items()})
    assert refused(ada)
    opened.update(honest)
    assert ada.certificate("web1")
    events, serials = rows(both)
    assert events.count("certificate.issued") == len(serials) == 3  # the second never left


def moved(world, change):
    """As by another process: this one was told of nothing."""
    with world.services.database.writing() as connection:
        change(connection)


def test_a_server_that_was_retired_by_another_process_is_entered_no_more(both):
    both.project(rules=[SRE])
    web1 = both.server("web1")
    ada = both.person("ada@acme.example", ["sre"])
    assert ada.certificate("web1")

    def retire(connection):
        inventory.retire(connection, Ledger({}, time.time()), inventory.by_id(connection, web1.id))

    moved(both, retire)
    assert [refused(ada) for _ in range(2)] == ["no-server"] * 2


def test_a_rule_that_was_withdrawn_by_another_process_lets_nobody_in(both):
    made = both.project(rules=[SRE])
    both.server("web1")
    ada = both.person("ada@acme.example", ["sre"])
    assert ada.certificate("web1")

    def withdraw(connection):
        connection.execute(delete(entitlements))
        projects.changed(connection, made.id)

    moved(both, withdraw)
    assert refused(ada) == "no-server"


def test_who_was_let_in_just_now_is_let_in(both):
    """A refusal is of now, whatever was remembered."""
    both.project(rules=[SRE])
    both.server("web1")
    ada, eve = both.person("ada@acme.example", ["sre"]), both.person("eve@acme.example", ["dba"])
    for _ in range(2):
        assert refused(eve) == "no-server"
        assert ada.certificate("web1")
    admin = both.admin()
    now = admin.call("GET", "/v1/projects/prod", kind=Project).generation
    wanted = ProjectWanted(now, Settings(), (SRE, Rule("group:dba", login=True)))
    assert ada.certificate("web1")
    admin.call("PUT", "/v1/projects/prod", wanted)
    assert eve.certificate("web1")


def test_a_server_that_was_enrolled_just_now_is_found(both):
    both.project(rules=[SRE])
    ada = both.person("ada@acme.example", ["sre"])
    assert refused(ada) == "no-server"
    both.server("web1")
    assert ada.certificate("web1")


def test_one_server_is_looked_up_once_for_many_who_enter_it(world, monkeypatch):
    world.project(rules=[SRE])
    world.server("web1")
    ada = world.person("ada@acme.example", ["sre"])
    assert ada.certificate("web1")
    asked = []
    find = inventory.find
    monkeypatch.setattr(
        inventory, "find", lambda connection, name: asked.append(name) or find(connection, name)
    )
    assert len({ada.certificate("web1").serial for _ in range(20)}) == 20
    assert len(asked) < 5
