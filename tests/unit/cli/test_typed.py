"""A fix is said as it has to be typed here: with the control plane that was named, unless another one is advised."""

import pytest
from click.testing import CliRunner

from ostiary.cli import root
from ostiary.cli.typed import as_typed, given_in
from ostiary.doors.servers.control.database import Database, translated
from ostiary.errors import NotFound, Unreachable

GIVEN = given_in(["login", "--control", "https://c.example", "--ca=ca.pem"])


def test_where_one_signs_in_is_named_again():
    told = as_typed("run: ostiary login", GIVEN)
    assert told == "run: ostiary login --control https://c.example --ca ca.pem"
    assert as_typed("run: ostiary login --browser", GIVEN).startswith(told)


def test_another_control_plane_stays_another():
    assert as_typed("another one: ostiary login --control URL", {"--control": "https://c"}) == (
        "another one: ostiary login --control URL"
    )


def test_an_audit_is_read_from_a_database_that_is_there(tmp_path):
    there = tmp_path / "none.db"
    asked = [
        "audit",
        "export",
        "--project",
        "prod",
        "--to",
        str(tmp_path / "a.jsonl"),
        "--database",
    ]
    done = CliRunner().invoke(root, [*asked, f"sqlite:///{there}"])
    assert isinstance(done.exception, NotFound), done
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("no database", "name the file of a control plane"),
        ("", "name the database of a control plane"),
        (None, "see that it is a file in a folder"),
    ],
)
def test_what_is_no_database_is_said_so(tmp_path, text, fix):
    file = tmp_path / "control.db"
    if text is None:
        file.mkdir()
    else:
        file.write_text(text * 100)
    database = Database(f"sqlite:///{file}")
    with (
        pytest.raises(Unreachable) as refused,
        translated("cannot read"),
        database.reading() as connection,
    ):
        connection.exec_driver_sql("select 1 from projects")
    database.close()
    assert fix in refused.value.fix
