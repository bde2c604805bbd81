from __future__ import annotations

import pytest
from ssh_world import Keys, Sshd


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def sshd(tmp_path, keys):
    return Sshd(tmp_path, keys)
