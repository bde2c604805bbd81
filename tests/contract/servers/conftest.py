"""A PostgreSQL of its own for the storage suite: a throw-away cluster on a socket in a temporary folder."""

import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from control_world import ControlWorld

from ostiary.doors.servers.control.database import Database

sys.path.insert(0, str(Path(__file__).parent))  # storage_suite.py is imported by name
STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0


def program(name):
    known = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(known[-1]) if known else shutil.which(name)


@pytest.fixture(scope="session")
def cluster():
    """The folder of the socket. PostgreSQL refuses to run as root, so root runs it as nobody."""
    if not program("initdb"):
        text = "not run: no PostgreSQL; make test installs it as root"
        (pytest.fail if STRICT else pytest.skip)(text)
    folder = Path(tempfile.mkdtemp(prefix="ostiary-pg-"))
    user = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def run(*command):
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, **user
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run(
        program("initdb"),
        "-D",
        folder / "data",
        "-U",
        "ostiary",
        "-A",
        "trust",
        "--no-sync",
        "--locale=C",
        "-E",
        "UTF8",
    )
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c max_connections=60"
    control = (program("pg_ctl"), "-D", folder / "data", "-w")
    run(*control, "-l", folder / "log", "-o", options, "start")
    try:
        yield folder
    finally:
        run(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def postgres(cluster):
    database = Database(f"postgresql://ostiary@/postgres?host={cluster}")
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/control.db"
        return
    folder = request.getfixturevalue("cluster")
    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(
        host=str(folder), user="ostiary", dbname="postgres", autocommit=True
    ) as to:
        to.execute(f"CREATE DATABASE {name}")
        try:
            yield f"postgresql://ostiary@/{name}?host={folder}"
        finally:
            to.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def both(database_url, tmp_path):
    """A control plane that is served, on each kind of database."""
    world = ControlWorld(database_url, tmp_path)
    yield world
    world.close()


@pytest.fixture
def world(tmp_path):
    """A control plane that is served, on SQLite."""
    world = ControlWorld(f"sqlite:///{tmp_path}/control.db", tmp_path)
    yield world
    world.close()
