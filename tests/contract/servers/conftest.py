"""Databases of both kinds for the tests of the control plane, and control planes on them."""

import contextlib
import sys
from pathlib import Path

import pytest
from control_world import ControlWorld
from postgres_world import new_database, running
from tables_world import begin, template

from ostiary.doors.servers.control.database import Database

sys.path.insert(0, str(Path(__file__).parent))  # storage_suite.py is imported by name


@pytest.fixture(scope="session")
def cluster():
    """The folder of the socket."""
    with running() as folder:
        yield folder


@pytest.fixture
def postgres(cluster):
    database = Database(f"postgresql://ostiary@/postgres?host={cluster}")
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """A database of each kind, with the tables of this version."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/control.db"
        begin(url)
        yield url
        return
    cluster = request.getfixturevalue("cluster")
    with new_database(cluster, template(cluster)) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request, tmp_path):
    """A database of each kind without a table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/control.db"
        return
    with new_database(request.getfixturevalue("cluster")) as url:
        yield url


@pytest.fixture
def both(database_url, tmp_path):
    """A control plane that is served, on each kind of database."""
    world = ControlWorld(database_url, tmp_path)
    yield world
    world.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def lasting(request, tmp_path_factory):
    """As ``both``, one for all tests of a module: each works in a project of its own."""
    folder = tmp_path_factory.mktemp("control")
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{folder}/control.db"
        if request.param == "postgresql":
            cluster = request.getfixturevalue("cluster")
            url = stack.enter_context(new_database(cluster, template(cluster)))
        world = ControlWorld(url, folder)
        stack.callback(world.close)
        yield world


@pytest.fixture
def world(tmp_path):
    """A control plane that is served, on SQLite."""
    world = ControlWorld(f"sqlite:///{tmp_path}/control.db", tmp_path)
    yield world
    world.close()
