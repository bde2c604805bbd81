"""The storage suite on SQLite."""

import pytest
from storage_suite import StorageSuite

from ostiary.doors.servers.control.database import Database


class TestSqlite(StorageSuite):
    @pytest.fixture
    def database(self, tmp_path):
        database = Database(f"sqlite:///{tmp_path}/control.db")
        yield database
        database.close()
