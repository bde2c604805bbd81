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


class Server:
    """One PostgreSQL. It refuses to run as root, so root runs it as nobody."""

    def __init__(self, folder):
        self.folder = folder
        self._before = ()
        self._as = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self.control = (program("pg_ctl"), "-D", folder / "data", "-w")

    def enter(self, before):
        """Be in other namespaces: ``before`` is the nsenter that leads there, which needs root."""
        numbers = (f"--setuid={self._as['user']}", f"--setgid={self._as['group']}")
        self._before = (*before[:-1], *numbers, before[-1])
        self._as = {}

    def run(self, *command):
        done = self._done(*command)
        assert done.returncode == 0, done.stdout + done.stderr

    def _done(self, *command):
        command = (*self._before, *command)
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, **self._as
        )

    def is_running(self):
        return self._done(*self.control, "status").returncode == 0

    def pids(self):
        """Of all its processes, as this machine counts them."""
        main = (self.folder / "data/postmaster.pid").read_text().split()[0]
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [int(one) for one in (main, *children)]

    def make(self, *more):
        form = ("-U", "ostiary", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8")
        self.run(program("initdb"), "-D", self.folder / "data", *form, *more)

    def copy_of(self, other):
        """Become a standby of another."""
        place = ("-h", other.folder, "-U", "ostiary", "-D", self.folder / "data")
        self.run(program("pg_basebackup"), *place, "-R", "-c", "fast", "-X", "stream")

    def start(self, *more):
        options = [
            "listen_addresses=''",
            f"unix_socket_directories={self.folder}",
            "max_connections=60",
            *more,
        ]
        text = " ".join(f"-c {one}" for one in options)
        self.run(*self.control, "-l", self.folder / "log", "-o", text, "start")

    def stop(self):
        """At once, as a crash does."""
        self.run(*self.control, "-m", "immediate", "stop")

    def promote(self):
        self.run(*self.control, "promote")


@contextmanager
def server():
    """A server in a folder of its own, not made yet."""
    if not program("initdb"):
        text = "not run: no PostgreSQL; make test installs it as root"
        (pytest.fail if STRICT else pytest.skip)(text)
    folder = Path(tempfile.mkdtemp(prefix="ostiary-pg-"))
    one = Server(folder)
    try:
        yield one
    finally:
        if (folder / "data/postmaster.pid").exists():
            one.stop()
        shutil.rmtree(folder)


@contextmanager
def running():
    """The folder of the socket of a server that runs."""
    with server() as one:
        one.make()
        one.start()
        yield one.folder


@contextmanager
def new_database(folder, template="template1"):
    """The address of a new database in the cluster: a copy of ``template``, empty without one."""
    name = f"t{secrets.token_hex(6)}"
    url = make_database(folder, name, template)
    try:
        yield url
    finally:
        with _administered(folder) as to:
            to.execute(f"DROP DATABASE {name} WITH (FORCE)")


def put_in_place(folder, name, other):
    """Make ``name`` a copy of ``other``, whatever it was. Nobody may be connected to the other."""
    with _administered(folder) as to:
        to.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        to.execute(f"CREATE DATABASE {name} TEMPLATE {other}")


def make_database(folder, name, template="template1"):
    """Its address."""
    with _administered(folder) as to:
        to.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return f"postgresql://ostiary@/{name}?host={folder}"


def _administered(folder):
    return psycopg.connect(host=str(folder), user="ostiary", dbname="postgres", autocommit=True)
