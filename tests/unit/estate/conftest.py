import pytest

from ostiary.model.account import Account


@pytest.fixture
def account():
    def make(number, name, *, organization="main", **more):
        return Account(number, name, organization, "aws", **more)

    return make
