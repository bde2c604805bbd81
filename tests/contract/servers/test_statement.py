"""Statements run by the driver itself: the same rows and errors as SQLAlchemy's own, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.statement import Insertion, Lookup, Statement, pipelined
from ostiary.doors.servers.control.tables import METADATA, certificates, people, projects

ROW = {"groups": "[]", "active": True, "read": 1.5, "refresh": None}
ROW |= {"id": "00u1", "login": "ada", "local_login": "ada"}
INTO = Insertion(people)
LOGINS = Lookup(select(people.c.login).where(people.c.read > bindparam("since")), people.c.id)
BY = Statement(
    select(people.c.login, people.c.active, people.c.read).where(
        people.c.id == bindparam("id"), people.c.active.is_(True)
    )
)


def numbered(number):
    name = f"p{number}"
    return {**ROW, "id": f"00u{number}", "login": name, "local_login": name}


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    if request.param == "postgres":
        found = request.getfixturevalue("postgres")
    else:
        found = Database(f"sqlite:///{tmp_path}/control.db")
    METADATA.create_all(found.engine)
    yield found
    METADATA.drop_all(found.engine)
    found.close()


def test_rows_come_and_go_as_by_sqlalchemy(database):
    with database.writing() as connection:
        INTO.run(connection, [numbered(number) for number in range(3)])
        connection.execute(insert(people), [{**numbered(9), "active": False}])
    with database.reading() as connection:
        assert tuple(BY.run(connection, {"id": "00u1"}).fetchone()) == ("p1", True, 1.5)
        assert BY.run(connection, {"id": "00u9"}).fetchone() is None, "a constant of the text holds"
        assert len(connection.execute(select(people)).all()) == 4


def test_values_are_what_they_were(database):
    """However they are sent."""
    texts = ['"', "\\", "\\u0041", "\n", "\x7f", "{}", "\U0001f511", "\u202e", "null", ""]
    rows = [{**numbered(number), "groups": text} for number, text in enumerate(texts)]
    reals = [0.1 + 0.2, 1795864957.123456, 1e300, 5e-324, -0.0]
    rows += [{**numbered(50 + number), "read": real} for number, real in enumerate(reals)]
    rows += [{**numbered(70), "active": False, "refresh": None}]
    for some in (rows, [numbered(80)]):
        with database.writing() as connection:
            INTO.run(connection, some)
    with database.reading() as connection:
        found = {one.id: one for one in connection.execute(select(people)).mappings()}
    for row in (*rows, numbered(80)):
        assert {name: found[row["id"]][name] for name in row} == row


def test_the_largest_serial_is_what_it_was(database):
    project = {
        "id": "prj_1",
        "name": "prod",
        "uid_next": 1,
        "gid_next": 1,
        "generation": 1,
        "created": 0.0,
    }
    row = {"project_id": "prj_1", "server_id": "", "person_id": "", "expires": 0.0, "met": ""}
    with database.writing() as connection:
        connection.execute(insert(projects), project)
        rows = [{**row, "serial": one, "number": one} for one in (1, 2**63 - 1)]
        Insertion(certificates).run(connection, rows)
    with database.reading() as connection:
        serials = connection.scalars(select(certificates.c.serial)).all()
    assert sorted(serials) == [1, 2**63 - 1]


def test_each_of_many_questions_has_its_own_answer(database):
    with database.writing() as connection:
        INTO.run(connection, [numbered(number) for number in range(3)])
    with database.reading() as connection:
        asked = ["00u2", "none", "00u0"]
        assert LOGINS.rows(connection, asked, since=1.0) == {"00u2": ("p2",), "00u0": ("p0",)}
        assert LOGINS.rows(connection, asked, since=2.0) == {}
        assert LOGINS.rows(connection, [], since=1.0) == {}
        with pipelined(connection):
            first, second = (LOGINS.ask(connection, [one], since=1.0) for one in asked[:2])
        assert (first(), second()) == ({"00u2": ("p2",)}, {})


def test_what_a_transaction_did_is_undone_with_it(database):
    def fails():
        with database.writing() as connection:
            INTO.run(connection, [ROW])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    with database.reading() as connection:
        assert BY.run(connection, {"id": "00u1"}).fetchone() is None


def test_errors_are_sqlalchemys(database):
    with pytest.raises(IntegrityError), database.writing() as connection:
        INTO.run(connection, [ROW, ROW])
    METADATA.drop_all(database.engine)
    with (
        pytest.raises((OperationalError, ProgrammingError)),
        database.reading() as connection,
    ):
        BY.run(connection, {"id": "00u1"})
    METADATA.create_all(database.engine)
