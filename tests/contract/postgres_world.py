"""A PostgreSQL of the tests: a throw-away cluster on a socket in a temporary folder, and databases in it."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0


def program(name):
    known = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(known[-1]) if known else shutil.which(name)


@contextmanager
def running():
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

    data = ("-D", folder / "data")
    form = ("-U", "ostiary", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8")
    run(program("initdb"), *data, *form)
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c max_connections=60"
    control = (program("pg_ctl"), *data, "-w")
    run(*control, "-l", folder / "log", "-o", options, "start")
    try:
        yield folder
    finally:
        run(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder)


@contextmanager
def new_database(folder):
    """The address of an empty database in the cluster."""
    name = f"t{secrets.token_hex(6)}"
    place = {"host": str(folder), "user": "ostiary", "dbname": "postgres"}
    with psycopg.connect(**place, autocommit=True) as to:
        to.execute(f"CREATE DATABASE {name}")
        try:
            yield f"postgresql://ostiary@/{name}?host={folder}"
        finally:
            to.execute(f"DROP DATABASE {name} WITH (FORCE)")
