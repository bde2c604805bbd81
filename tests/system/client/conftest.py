from __future__ import annotations

import pytest
from client_world import Host, Peer, Person
from org_peer import Org


@pytest.fixture
def peer():
    one = Peer()
    yield one
    one.stop()


@pytest.fixture
def person(tmp_path):
    one = Person(tmp_path / "home")
    yield one
    one.sign_out()


@pytest.fixture
def host(tmp_path, peer):
    """``host(name, server_id)`` starts an sshd."""
    started = []

    def start(name, server_id, **settings):
        one = Host(tmp_path / name, peer, name, server_id, **settings)
        started.append(one)
        return one

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def org():
    one = Org()
    yield one
    one.shutdown()
    one.server_close()
