"""What time does: rules end, servers vanish, clocks differ, databases are restored."""

import shutil
import time
from pathlib import Path

import pytest
from control_world import ControlWorld, Refused
from postgres_world import put_in_place
from sqlalchemy import select
from sqlalchemy.engine import make_url

from ostiary.doors.servers.control import clock_guard, housekeeping, tables
from ostiary.doors.servers.control.chain import Head, Row, faults
from ostiary.doors.servers.control.clock_guard import ClockGuard
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.high_water import HighWater, accept, verify
from ostiary.doors.servers.control.housekeeping import Housekeeping
from ostiary.doors.servers.control.writer import Writer
from ostiary.doors.servers.wire.admin import Rule, ServersHeld
from ostiary.errors import Conflict, Unreachable


def events(world):
    with world.services.database.reading() as connection:
        return list(
            connection.scalars(select(tables.audit.c.event).order_by(tables.audit.c.number))
        )


@pytest.fixture
def shifted(database_url, tmp_path):
    """A control plane whose clock can be set ahead: ``shifted.ahead`` in seconds."""
    offset = [0.0]
    world = ControlWorld(database_url, tmp_path, clock=lambda: time.time() + offset[0])
    world.offset = offset
    yield world
    world.close()


def keep_house(world, days=30):
    house = Housekeeping(
        world.services.database, world.services.writer, world.services.clock, days * 86400.0
    )
    return house(None)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL has a clock
def test_a_rule_ends_for_certificates_and_on_hosts(shifted):
    world = shifted
    until = time.time() + 50
    world.project("prod", [Rule("group:sre", login=True, until=until)])
    web = world.server("web1")
    alice = world.person("alice@acme.example", ["sre"])
    assert alice.certificate("web1")
    state = web.state()
    assert len(state.users) == 1
    keep_house(world)
    assert web.state(state.generation) is None, "nothing has ended yet"
    world.offset[0] = 51.0
    with pytest.raises(Refused) as no:
        alice.certificate("web1")
    assert no.value.code == "no-server"
    keep_house(world)
    assert web.state(state.generation).users == ()
    keep_house(world)
    assert events(world).count("rule.ended") == 1


def test_a_server_that_is_not_seen_is_retired(shifted):
    world = shifted
    world.project("prod")
    gone, stays = world.server("gone"), world.server("stays")
    world.offset[0] = 3 * 86400.0
    stays.report(time=time.time() + world.offset[0])
    keep_house(world, days=2)
    with world.services.database.reading() as connection:
        table = tables.servers
        states = {
            row.id: row.state for row in connection.execute(select(table.c.id, table.c.state))
        }
    assert states == {gone.id: "retired", stays.id: "active"}
    assert events(world).count("server.vanished") == 1
    world.offset[0] = 0.0
    names = [
        one.name
        for one in world.admin().call("GET", "/v1/projects/prod/servers", kind=ServersHeld).servers
    ]
    assert "gone" not in names, "the name is free"


def test_what_expired_is_forgotten(shifted):
    world = shifted
    world.project("prod")
    web = world.server("web1")
    web.state()
    world.offset[0] = 13 * 3600.0
    keep_house(world)
    with world.services.database.reading() as connection:
        for table in (tables.challenges, tables.sessions):
            assert connection.execute(select(table)).all() == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL has a clock
def test_what_okta_said_long_ago_gives_no_certificate(shifted):
    world = shifted
    world.project("prod", [Rule("group:sre", login=True)])
    world.server("web1")
    alice = world.person("alice@acme.example", ["sre"])
    world.offset[0] = 299.0
    assert alice.certificate("web1")
    world.offset[0] = 303.0
    with pytest.raises(Refused) as no:
        alice.certificate("web1")
    assert (no.value.status, no.value.code) == (403, "stale")


def test_an_id_token_of_before_does_not_bring_somebody_back(world):
    from ostiary.doors.servers.control import people  # noqa: PLC0415
    from ostiary.doors.servers.control.people import Person  # noqa: PLC0415

    world.project("prod", [Rule("group:sre", login=True)])
    alice = world.person("alice@acme.example", ["sre"])
    with world.services.database.reading() as connection:
        (known,) = [one for one in people.every(connection) if one.login == "alice@acme.example"]
    out = Person(known.id, known.login, known.groups, active=False, read=time.time() + 20)
    projects = world.services.database
    with projects.reading() as connection:
        ids = list(connection.scalars(select(tables.projects.c.id)))
    world.services.writer.write(ids, lambda c, ledger: people.keep(c, ledger, out))
    with pytest.raises(Refused) as no:
        alice.certificate("web1")
    assert no.value.code == "no-session"
    with pytest.raises(Refused) as no:
        world.person("alice@acme.example", ["sre"])
    assert (no.value.status, no.value.code) == (403, "inactive")


def test_nothing_is_signed_while_the_clocks_differ(cluster, tmp_path, monkeypatch):
    database = Database(f"postgresql://ostiary@/postgres?host={cluster}")
    try:
        ClockGuard(database, time.time).check()
        for wrong in (6.0, -6.0, 3600.0):
            with pytest.raises(Unreachable, match="the database's clock") as no:
                ClockGuard(database, lambda wrong=wrong: time.time() + wrong).check()
            assert no.value.code == "clock"
        now = [time.time()]
        guard = ClockGuard(database, lambda: now[0])
        guard.check()
        now[0] += 60
        guard.check()  # one comparison is good for a second
        monkeypatch.setattr(clock_guard, "EVERY", 0.0)
        with pytest.raises(Unreachable):
            guard.check()
    finally:
        database.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_over_http_a_wrong_clock_is_a_503_and_nothing_is_written(database_url, tmp_path):
    offset = [0.0]
    world = ControlWorld(database_url, tmp_path, clock=lambda: time.time() + offset[0])
    try:
        world.project("prod", [Rule("group:sre", login=True)])
        world.server("web1")
        alice = world.person("alice@acme.example", ["sre"])
        assert alice.certificate("web1")
        offset[0] = 10.0
        time.sleep(clock_guard.EVERY + 0.1)
        with pytest.raises(Refused) as no:
            alice.certificate("web1")
        assert (no.value.status, no.value.code) == (503, "clock")
        assert events(world).count("certificate.issued") == 1
        offset[0] = 0.0
        time.sleep(clock_guard.EVERY + 0.1)
        assert alice.certificate("web1")
    finally:
        world.close()


@pytest.fixture
def backup(database_url, request, tmp_path):
    """``take()`` copies the database to which nobody is connected, ``restore()`` puts the copy in its place."""
    place = make_url(database_url)

    class OfSqlite:
        file, copy = Path(place.database), tmp_path / "backup.db"

        def take(self):
            shutil.copy(self.file, self.copy)

        def restore(self):
            shutil.copy(self.copy, self.file)
            for beside in self.file.parent.glob(f"{self.file.name}-*"):
                beside.unlink()

    class OfPostgres:
        name, copy = place.database, f"{place.database}_backup"

        def take(self):
            put_in_place(request.getfixturevalue("cluster"), self.copy, self.name)

        def restore(self):
            put_in_place(request.getfixturevalue("cluster"), self.name, self.copy)

    return OfSqlite() if place.drivername == "sqlite" else OfPostgres()


def test_a_restored_backup_is_refused_and_accepted_only_by_word(database_url, backup, tmp_path):
    url = database_url
    first = ControlWorld(url, tmp_path)
    first.project("prod", [Rule("group:sre", login=True)])
    first.server("web1")
    first.person("alice@acme.example", ["sre"]).certificate("web1")
    first.close()
    backup.take()
    second = ControlWorld(url, tmp_path)
    bob = second.person("bob@acme.example", ["sre"])
    lost = bob.certificate("web1")
    second.close()
    backup.restore()
    with pytest.raises(Conflict, match="older than what was seen") as no:
        ControlWorld(url, tmp_path)
    assert "--accept-older-database" in no.value.fix
    third = ControlWorld(url, tmp_path, settings={"accept_older": True})
    try:
        third.person("carol@acme.example", ["sre"]).certificate("web1")
        with third.services.database.reading() as connection:
            uids = dict(
                connection.execute(
                    select(tables.local_users.c.login, tables.local_users.c.uid)
                ).all()
            )
            serials = list(connection.scalars(select(tables.certificates.c.serial)))
            rows = [Row(*one) for one in connection.execute(select(tables.audit))]
        assert uids == {"alice": 60001, "carol": 60003}, "bob had 60002"
        assert int(lost.serial) not in serials
        assert list(faults(sorted(rows, key=lambda one: one.number))) == []
        assert events(third).count("database.restored") == 1
    finally:
        third.close()
    ControlWorld(url, tmp_path).close()


def test_a_database_that_goes_back_while_it_is_used_is_noticed_by_the_next_write(both):
    both.project("prod", [Rule("group:sre", login=True)])
    both.server("web1")
    alice = both.person("alice@acme.example", ["sre"])
    alice.certificate("web1")
    table = tables.chains
    with both.services.database.writing() as connection:
        number = connection.scalar(select(table.c.number)) - 1
        row = connection.execute(
            select(tables.audit.c.hash).where(tables.audit.c.number == number)
        ).one()
        connection.execute(tables.audit.delete().where(tables.audit.c.number > number))
        connection.execute(table.update().values(number=number, hash=row.hash))
    with pytest.raises(Refused) as no:
        alice.certificate("web1")
    assert (no.value.status, no.value.code) == (503, "older-database")


@pytest.mark.parametrize("left", [b"", b"\x00\xff", b'["prj_x", 1', b"[]\n{}\n1\n"])
def test_a_mark_that_was_cut_is_read_as_far_as_it_goes(tmp_path, left):
    kept = HighWater(tmp_path)
    kept.keep({"prj_a": Head(7, "a" * 64)}, {"prj_a": (60002, 63002)})
    kept.close()
    with (tmp_path / "high-water").open("ab") as file:
        file.write(left)
    again = HighWater(tmp_path)
    assert again.marks["prj_a"].number == 7
    assert again.marks["prj_a"].uid_next == 60002
    with pytest.raises(Conflict):
        again.check({"prj_a": Head(6, "b" * 64)}, lambda *_: "")
    with pytest.raises(Conflict):
        again.check({"prj_a": Head(7, "b" * 64)}, lambda *_: "")
    again.check({"prj_a": Head(7, "a" * 64), "prj_b": Head()}, lambda *_: "")
    again.close()


def test_a_mark_stays_small(tmp_path):
    kept = HighWater(tmp_path)
    for number in range(15_000):
        kept.keep({"prj_a": Head(number, "a" * 64)}, {})
    assert (tmp_path / "high-water").stat().st_size < 1 << 20
    kept.close()
    again = HighWater(tmp_path)
    assert again.marks["prj_a"].number == 14_999
    again.close()


def test_an_empty_database_under_a_mark_is_refused(tmp_path):
    kept = HighWater(tmp_path)
    kept.keep({"prj_a": Head(7, "a" * 64)}, {})
    database = Database(f"sqlite:///{tmp_path}/c.db")
    tables.METADATA.create_all(database.engine)
    with pytest.raises(Conflict, match="there is nothing"):
        verify(database, kept)
    writer = Writer(database, mark=kept)
    accept(database, writer, kept)
    verify(database, kept)
    writer.close()
    database.close()
    kept.close()


def test_the_duty_is_done_by_one_process(world):
    assert housekeeping.SECONDS <= 1
    names = [one.name for one in world.services.duties]
    assert housekeeping.DUTY in names
