"""A PostgreSQL of its own for the storage suite: a throw-away cluster on a socket in a temporary folder."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

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
