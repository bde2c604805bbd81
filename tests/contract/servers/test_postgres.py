"""The storage suite on PostgreSQL."""

import pytest
from storage_suite import StorageSuite


class TestPostgres(StorageSuite):
    @pytest.fixture
    def database(self, postgres):
        return postgres
