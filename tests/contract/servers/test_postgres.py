"""The storage suite on PostgreSQL."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from storage_suite import StorageSuite, rows_of

from ostiary.doors.servers.control.database import Database, heads, translated
from ostiary.errors import Unreachable


class TestPostgres(StorageSuite):
    @pytest.fixture
    def database(self, postgres):
        return postgres

    def test_a_connection_that_the_server_ends_is_an_error_in_words_and_no_other_is_held_up(
        self, database, writer, project, caplog
    ):
        """In the middle of a transaction; nothing of it is there, and nothing stays open."""

        def ended(connection):
            mine = connection.connection.dbapi_connection.info.backend_pid
            with database.reading() as other:
                other.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": mine})

        def work(connection, ledger):
            ledger.append(project.id, "x", {})
            ended(connection)

        def read():
            with database.reading() as connection:
                ended(connection)
                heads(connection, [project.id])

        before = len(rows_of(database, project.id))
        with pytest.raises(Unreachable, match="cannot write to the database"):
            writer.write([project.id], work)
        with pytest.raises(OperationalError):
            read()
        assert "Traceback" not in caplog.text
        assert len(rows_of(database, project.id)) == before
        writer.write([project.id], lambda _, ledger: ledger.append(project.id, "x", {}))
        with database.reading() as connection:
            open_ones = "select count(*) from pg_stat_activity where state like 'idle in%'"
            assert connection.scalar(text(open_ones)) == 0

    def test_a_database_that_is_none_of_ours_is_said_so(self, database, cluster):
        """One that is not there, and one in which no control plane made its tables."""
        with pytest.raises(Unreachable) as no, translated("cannot read"), database.reading() as one:
            one.execute(text("select 1 from nothing_of_ours"))
        assert no.value.fix == "name the database of a control plane with --database"
        away = Database(f"postgresql://ostiary@/none?host={cluster}")
        with pytest.raises(Unreachable) as no, translated("cannot read"), away.reading():
            pass
        away.close()
        assert no.value.fix == "name the database of a control plane with --database"
