"""What the control plane's database must do, on every database that it runs on."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from ostiary.doors.servers.control import local_users, people, projects, rules, tokens
from ostiary.doors.servers.control.chain import Head, Row, faults
from ostiary.doors.servers.control.tables import METADATA, audit, certificates, chains
from ostiary.doors.servers.control.writer import Writer
from ostiary.errors import Conflict, OstiaryError, UsageError
from ostiary.model.server_access import Rule

NOW = 1_800_000_000.0


class StorageSuite:
    @pytest.fixture
    def database(self):
        raise NotImplementedError

    @pytest.fixture
    def writer(self, database):
        METADATA.create_all(database.engine)
        writer = Writer(database, lambda: NOW)
        yield writer
        writer.close()
        METADATA.drop_all(database.engine)

    @pytest.fixture
    def project(self, writer):
        return make_project(writer, "prod")

    def test_the_chain_is_whole_and_every_change_breaks_it(self, database, writer, project):
        for number in range(5):
            writer.write(
                [project.id], lambda _, ledger, n=number: ledger.append(project.id, "x", {"n": n})
            )
        rows = rows_of(database, project.id)
        assert [row.number for row in rows] == [1, 2, 3, 4, 5, 6]
        assert list(faults(rows)) == []
        head = Head(6, rows[-1].hash)
        assert list(faults(rows[:3] + rows[4:])) == ["row 4 is missing: 5 follows 3"]
        assert list(faults([*rows[:2], rows[3], rows[2], *rows[4:]]))
        assert list(faults(rows[:-1])) == []
        assert list(faults(rows[:-1], head)) == ["rows 6 to 6 are missing at the end"]
        with database.writing() as connection:
            connection.execute(update(audit).where(audit.c.number == 3).values(body='{"n":9}'))
        assert list(faults(rows_of(database, project.id))) == ["row 3 is not what was written"]

    def test_who_writes_at_once_gets_numbers_of_their_own(self, database, writer, project):
        def enrol(number):
            person = people.Person(
                f"00u{number}", f"p{number}@acme.example", (), active=True, read=NOW
            )

            def work(connection, ledger):
                people.keep(connection, ledger, person)
                return local_users.of(connection, ledger, project.id, person.id)

            return writer.write([project.id], work)

        with ThreadPoolExecutor(16) as pool:
            made = list(pool.map(enrol, range(100)))
        assert sorted(one.uid for one in made) == list(range(60001, 60101))
        assert sorted(one.gid for one in made) == list(range(63001, 63101))
        assert enrol(7) == made[7], "the same person has the same numbers"
        assert list(faults(rows_of(database, project.id))) == []

    def test_two_processes_on_one_database_keep_one_chain(self, database, writer, project):
        other = Writer(database, lambda: NOW)
        try:
            with ThreadPoolExecutor(8) as pool:
                for n in range(60):
                    pool.submit(
                        (writer if n % 2 else other).write,
                        [project.id],
                        lambda _, ledger, n=n: ledger.append(project.id, "x", {"n": n}),
                    )
        finally:
            other.close()
        rows = rows_of(database, project.id)
        assert len(rows) == 61
        assert list(faults(rows)) == []

    def test_who_has_one_name_with_others_gets_an_own_whatever_process_is_asked(
        self, database, writer
    ):
        """They hold no chain in common: there may be no project yet."""
        other = Writer(database, lambda: NOW)

        def sign_in(number):
            login = ("ada@a.example", "bob@a.example", "root@a.example")[number % 3]
            person = people.Person(f"00u{number}", login, (), active=True, read=NOW)

            def work(connection, ledger):
                people.keep(connection, ledger, person)
                return people.local_login(connection, person.id)

            return (writer if number % 2 else other).write([], work)

        try:
            with ThreadPoolExecutor(8) as pool:
                names = list(pool.map(sign_in, range(60)))
            assert [sign_in(number) for number in range(60)] == names
        finally:
            other.close()
        numbers = [str(number) for number in range(1, 20)]
        wanted = {f"{stem}{number}" for stem in ("ada", "bob", "user") for number in numbers}
        assert set(names) == wanted | {"ada", "bob", "user20"}

    def test_a_name_that_another_process_is_about_to_take_is_not_taken_twice(
        self, database, writer
    ):
        """On SQLite there is one writer at a time; on PostgreSQL the second waits until the first has it."""
        other = Writer(database, lambda: NOW)
        taken, go_on = threading.Event(), threading.Event()

        def keep(person_id, connection, ledger):
            login = f"ada@{person_id}.example"
            person = people.Person(person_id, login, (), active=True, read=NOW)
            people.keep(connection, ledger, person)
            return people.local_login(connection, person_id)

        def first(connection, ledger):
            name = keep("00u1", connection, ledger)
            taken.set()
            assert go_on.wait(10)
            return name

        try:
            begun = writer.submit([], first)
            assert taken.wait(10)
            second = other.submit([], lambda c, ledger: keep("00u2", c, ledger))
            with pytest.raises(TimeoutError):
                second.result(0.3)
            go_on.set()
            assert (begun.result(10), second.result(10)) == ("ada", "ada1")
        finally:
            go_on.set()
            other.close()

    def test_one_token_used_by_many_at_once_lets_one_in(self, writer, project):
        _, token = writer.write(
            [project.id],
            lambda connection, ledger: tokens.make(connection, ledger, project, uses=1, seconds=60),
        )
        with ThreadPoolExecutor(16) as pool:
            uses = list(
                pool.map(
                    lambda _: writer.write(
                        [project.id], lambda c, ledger: tokens.use(c, ledger, token)
                    ),
                    range(40),
                )
            )
        assert sum(one is not None for one in uses) == 1

    def test_a_revoked_or_expired_token_lets_nobody_in(self, database, writer, project):
        def make(connection, ledger):
            return tokens.make(
                connection, replace(ledger, now=NOW - 120), project, uses=5, seconds=60
            )

        _, expired = writer.write([project.id], make)
        assert writer.write([project.id], lambda c, ledger: tokens.use(c, ledger, expired)) is None
        _, token = writer.write(
            [project.id],
            lambda c, ledger: tokens.make(c, ledger, project, uses=5, seconds=60),
        )
        _, token_id = writer.write([project.id], lambda c, ledger: tokens.use(c, ledger, token))
        writer.write([project.id], lambda c, ledger: tokens.revoke(c, ledger, project, token_id))
        assert writer.write([project.id], lambda c, ledger: tokens.use(c, ledger, token)) is None
        assert token not in dump(database)

    def test_what_fails_in_a_batch_fails_alone(self, database, writer, project):
        held = threading.Event()

        def slow(_, ledger):
            held.wait(5)
            return ledger.append(project.id, "slow", {})

        waiting = writer.submit([project.id], slow)
        good = [
            writer.submit(
                [project.id], lambda _, ledger, n=n: ledger.append(project.id, "good", {"n": n})
            )
            for n in range(3)
        ]
        bad = writer.submit([project.id], refuse)
        twin = writer.submit(
            [],
            lambda c, ledger: projects.create(c, ledger, "prod", uid_start=70000, gid_start=70000),
        )
        held.set()
        assert waiting.result(10)
        assert [one.result(10) for one in good]
        with pytest.raises(UsageError):
            bad.result(10)
        with pytest.raises(Conflict):
            twin.result(10)
        assert list(faults(rows_of(database, project.id))) == []
        assert "bad" not in {row.event for row in rows_of(database, project.id)}

    def test_a_serial_is_given_once(self, database, writer, project):
        def issue(_, ledger):
            number = ledger.append(project.id, "certificate.issued", {"serial": "7"})
            row = {"serial": 7, "project_id": project.id, "server_id": "srv", "person_id": "00u"}
            ledger.insert(certificates, {**row, "number": number, "expires": NOW, "met": ""})

        writer.write([project.id], issue)
        with pytest.raises(OstiaryError):
            writer.write([project.id], issue)
        assert [row.event for row in rows_of(database, project.id)].count("certificate.issued") == 1

    def test_rules_are_kept_as_they_were_said(self, database, writer, project):
        wanted = (
            Rule("group:sre", login=True, servers=(("role", "web"),)),
            Rule("user:a@b", login=True, until=NOW),
        )
        writer.write([project.id], lambda c, ledger: rules.put(c, ledger, project, wanted))
        with database.reading() as connection:
            assert set(rules.of_project(connection, project.id)) == set(wanted)
            assert projects.by_name(connection, "prod").generation == 2
        writer.write([project.id], lambda c, ledger: rules.put(c, ledger, project, wanted))
        with database.reading() as connection:
            assert projects.by_name(connection, "prod").generation == 2, "nothing changed"

    def test_a_head_that_moved_elsewhere_is_not_overwritten(self, database, writer, project):
        with database.writing() as connection:
            connection.execute(update(chains).values(hash="1" * 64))
        writer.write([project.id], lambda _, ledger: ledger.append(project.id, "x", {}))
        assert list(faults(rows_of(database, project.id))) == ["row 2 is not what was written"]


def refuse(_, ledger):
    ledger.append(next(iter(ledger.heads)), "bad", {})
    raise UsageError("no")


def make_project(writer, name):
    return writer.write(
        [], lambda c, ledger: projects.create(c, ledger, name, uid_start=60001, gid_start=63001)
    )


def rows_of(database, project_id):
    with database.reading() as connection:
        query = select(audit).where(audit.c.project_id == project_id).order_by(audit.c.number)
        return [Row(*row) for row in connection.execute(query)]


def dump(database):
    with database.reading() as connection:
        return "".join(
            str(tuple(row))
            for table in METADATA.sorted_tables
            for row in connection.execute(select(table))
        )
