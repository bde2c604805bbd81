"""Rotating authorities: no step before everybody is ready for it, on both databases."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from sqlalchemy import insert, select, update

from ostiary.doors.servers.control import authorities, projects, rotation
from ostiary.doors.servers.control.authorities import Authorities
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.tables import METADATA, audit, servers
from ostiary.doors.servers.control.writer import Writer
from ostiary.doors.servers.wire.admin import Rotation
from ostiary.doors.servers.wire.host import HOST_MARK
from ostiary.errors import Conflict, UsageError
from ostiary.pki import ssh_key
from ostiary.plan.wrap import LocalKeyWrap

NOW = 1_800_000_000.0


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("postgres")
    return Database(f"sqlite:///{tmp_path}/control.db")


class World:
    """A project with a user and a host authority and two servers, as the control plane has them."""

    def __init__(self, database, folder):
        self.database, self.now = database, NOW
        METADATA.create_all(database.engine)
        self.writer = Writer(database, lambda: self.now)
        self.held = Authorities(LocalKeyWrap(folder / "kek"))
        self.project = self.writer.write(
            [],
            lambda c, ledger: projects.create(c, ledger, "prod", uid_start=70000, gid_start=70000),
        )
        for use in ("user", "host"):
            self.keep(self.held.make(use))
        for name in ("web1", "web2"):
            self.server(name)

    def close(self):
        self.writer.close()
        METADATA.drop_all(self.database.engine)
        self.database.close()

    def keep(self, made):
        self.writer.write(
            [self.project.id],
            lambda c, ledger: authorities.keep(c, ledger, self.project.id, made),
        )

    def server(self, name, **more):
        row = {"id": f"srv_{name}", "project_id": self.project.id, "name": name, "address": name}
        row |= {"port": 22, "bastion": "", "host_key": name, "host_certificate": "", "labels": "{}"}
        row |= {"facts": "{}", "state": "active", "enrolled": NOW, "last_seen": NOW}
        row |= {"clock_offset": 0.0, "applied": 1} | more
        with self.database.writing() as connection:
            connection.execute(insert(servers).values(**row))

    def reports(self, name, *trusted):
        with self.database.writing() as connection:
            connection.execute(
                update(servers)
                .where(servers.c.name == name)
                .values(report=json.dumps({"trusted": trusted}), last_seen=self.now)
            )

    def rotate(self, step, use="user", **more):
        asked = Rotation(use, step, **more)
        made = rotation.prepare(self.held, self.project.name, asked, self.of(use))
        self.writer.write(
            [self.project.id],
            lambda c, ledger: rotation.step(c, ledger, self.project, asked, made),
        )

    def refused(self, step, use="user", **more):
        with pytest.raises(Conflict) as refused:
            self.rotate(step, use, **more)
        assert refused.value.code == "rotation"
        return refused.value

    @property
    def known(self):
        with self.database.reading() as connection:
            return authorities.of_project(connection, self.project.id)

    def of(self, use):
        return [one for one in self.known if one.use == use]

    @property
    def generation(self):
        with self.database.reading() as connection:
            return projects.by_id(connection, self.project.id).generation

    def events(self):
        with self.database.reading() as connection:
            rows = connection.execute(select(audit.c.event).order_by(audit.c.number))
            return [row.event for row in rows if row.event.startswith("authority.")]


@pytest.fixture
def world(database, tmp_path):
    world = World(database, tmp_path)
    yield world
    world.close()


def fingerprint(one):
    return ssh_key.parse(one.public_key).fingerprint


def test_a_user_authority_is_rotated_step_by_step(world):
    (old,) = world.of("user")
    before = world.generation
    world.rotate("begin")
    old, new = world.of("user")
    assert world.generation > before, "hosts hear of the second key"
    assert authorities.trusted(world.known, "user") == (old.public_key, new.public_key)
    assert authorities.signing(world.known, "user").id == old.id

    world.reports("web1", fingerprint(old), fingerprint(new))
    waiting = world.refused("sign")
    assert "the new authority is not believed yet by web2 " in waiting.why
    assert "ostiary servers inventory --project prod" in waiting.fix
    world.reports("web2", fingerprint(old), fingerprint(new))
    world.rotate("sign")
    assert authorities.signing(world.known, "user").id == new.id
    assert len(authorities.trusted(world.known, "user")) == 2, "what the old one signed is good yet"

    assert "may be good for 240 s yet" in world.refused("finish").why
    world.now += rotation.DRAIN - 1
    assert "good for 1 s yet" in world.refused("finish").why
    world.now += 2
    world.reports("web1", fingerprint(old))
    assert "web1 (seen 0 s ago)" in world.refused("finish").why, "it went back to an older state"
    world.reports("web1", fingerprint(old), fingerprint(new))
    world.rotate("finish")
    assert authorities.trusted(world.known, "user") == (new.public_key,)
    gone, _ = world.of("user")
    assert (gone.state, gone.private) == ("retired", None), "its private half is forgotten"
    assert world.events()[2:] == [
        "authority.created",
        "authority.signing",
        "authority.trusted",
        "authority.retired",
    ]


def test_a_host_authority_is_retired_when_every_server_shows_a_new_certificate(world):
    world.rotate("begin", "host")
    world.rotate("sign", "host")
    _, new = world.of("host")
    assert authorities.signing(world.known, "host").id == new.id
    for name in ("web1", "web2"):
        assert (
            "no certificate by the new authority is shown yet"
            in world.refused("finish", "host").why
        )
        world.reports(name, f"{HOST_MARK}{fingerprint(new)}")
    world.rotate("finish", "host")
    assert authorities.trusted(world.known, "host") == (new.public_key,)


def test_steps_out_of_turn_are_refused_and_change_nothing(world):
    assert "none has begun" in world.refused("sign").why
    assert "none has begun: there is one" in world.refused("finish").why
    world.rotate("begin")
    held = world.known
    assert "not finished" in world.refused("begin").why
    assert "does not sign yet" in world.refused("finish").why
    assert world.known == held


def test_servers_that_are_gone_or_held_apart_are_not_waited_for(world):
    world.rotate("begin")
    old, new = world.of("user")
    world.server("old", state="retired")
    world.server("twin", state="quarantined")
    for name in ("web1", "web2"):
        world.reports(name, fingerprint(old), fingerprint(new))
    world.rotate("sign")


def test_many_that_are_waited_for_are_counted(world):
    for number in range(10):
        world.server(f"db{number}")
    world.rotate("begin")
    why = world.refused("sign").why
    assert why.count("seen") == 5
    assert why.endswith("and 7 more")


def test_a_break_glass_authority_comes_as_a_public_key_and_never_signs(world):
    first, second = (ssh_key.parse(world.held.make("user").public_key) for _ in range(2))
    world.rotate("begin", "break-glass", public_key=first.text("comment"))
    assert world.of("break-glass")[0].public_key == first.text()
    assert "already" in world.refused("begin", "break-glass", public_key=first.text()).why
    world.rotate("begin", "break-glass", public_key=second.text())
    world.now += rotation.DRAIN + 1
    assert "is not believed yet by" in world.refused("finish", "break-glass").why
    for name in ("web1", "web2"):
        world.reports(name, second.fingerprint)
    world.rotate("finish", "break-glass")
    assert authorities.trusted(world.known, "break-glass") == (second.text(),)


@pytest.mark.parametrize(
    "asked",
    [
        Rotation("root", "begin"),
        Rotation("user", "undo"),
        Rotation("break-glass", "begin"),
        Rotation("break-glass", "begin", public_key="ssh-ed25519 AAAA"),
        Rotation("break-glass", "begin", public_key="ssh-ed25519 AAAA", kms_key="alias/x"),
        Rotation("user", "begin", public_key="ssh-ed25519 AAAA"),
        Rotation("user", "finish", kms_key="alias/x"),
        Rotation("host", "begin", kms_key="alias/x"),
    ],
)
def test_what_is_no_step_is_refused(asked):
    with pytest.raises(UsageError) as refused:
        rotation.prepare(SimpleNamespace(), "prod", asked, ())
    assert refused.value.code == "bad-request"
