"""A full disk and a broken one: no certificate leaves, and the control plane goes on as soon as its database does."""

import contextlib
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
from control_process import People, Process
from control_world import Issuer, Refused
from free_port import free_port
from postgres_world import server
from small_disk import SmallDisk
from test_control_killed import judge

from ostiary.doors.servers.control.database import Database

STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0
AWAY = {(503, "database")}
STRACE = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync")


@pytest.fixture
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture
def ending():
    with contextlib.ExitStack() as ending:
        yield ending


class Asking:
    """Somebody who asks for certificates; ``answered`` are those that came."""

    def __init__(self, issuer, url, ending):
        people = People(issuer, [url])
        people.project()
        self._alice = people.client("alice@acme.example", ["sre"])
        ending.callback(self._alice.close)
        self.answered = []

    def ask(self):
        """The status and code of the refusal; None for a certificate."""
        try:
            self.answered.append(self._alice.certificate("web1"))
        except Refused as no:
            return no.status, no.code
        return None

    def until_it_comes(self, postgres):
        """Somebody starts the database wherever it is down: it may still give up after it was looked at."""

        def comes():
            if not postgres.is_running():
                postgres.start()
            return self.ask() is None

        until(comes)


def until(ready, seconds=30):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)


def needs_root():
    if os.geteuid() != 0:
        (pytest.fail if STRICT else pytest.skip)("not run: a small disk of its own needs root")


def needs_strace():
    if shutil.which("strace") is None:
        (pytest.fail if STRICT else pytest.skip)("not run: no strace")


@pytest.mark.root
def test_a_full_disk_refuses_and_recovers_without_a_restart(tmp_path, issuer, ending):
    needs_root()
    small = tmp_path / "small"
    small.mkdir()
    disk = ending.enter_context(SmallDisk(small, 2))
    process = Process(f"sqlite:///{small}/c.db", tmp_path, issuer, before=disk.before)
    process.start()
    ending.callback(process.end)
    asking = Asking(issuer, process.url, ending)
    assert asking.ask() is None
    disk.fill()
    assert {asking.ask() for _ in range(60)} - {None} == AWAY, "no certificate leaves"
    disk.free()
    assert asking.ask() is None
    for name in ("c.db", "c.db-wal"):  # SQLite itself would look for them outside
        shutil.copy(disk.inside / name, tmp_path / name)
    database = Database(f"sqlite:///{tmp_path}/c.db")
    ending.callback(database.close)
    judge(database, asking.answered)


@pytest.fixture
def small_postgres(ending):
    """A PostgreSQL and the small disk that its data are on."""
    needs_root()
    postgres = ending.enter_context(server())
    (postgres.folder / "data").mkdir()
    nobody = pwd.getpwnam("nobody").pw_uid
    disk = ending.enter_context(SmallDisk(postgres.folder / "data", 100, nobody))
    postgres.enter(disk.before)
    postgres.make("--wal-segsize=1")
    started(postgres, ending)
    return postgres, disk


def started(postgres, ending):
    postgres.start()
    ending.callback(lambda: postgres.is_running() and postgres.stop())


def on_postgres(postgres, tmp_path, issuer, ending):
    """Somebody who asks a control plane on it, and the database of which it is judged."""
    url = f"postgresql://ostiary@/postgres?host={postgres.folder}"
    process = Process(url, tmp_path, issuer)
    process.start()
    ending.callback(process.end)
    asking = Asking(issuer, process.url, ending)
    assert asking.ask() is None
    database = Database(url)
    ending.callback(database.close)
    return asking, database


@pytest.mark.root
def test_where_postgresql_finds_no_room_it_refuses_until_there_is_some(
    small_postgres, tmp_path, issuer, ending
):
    postgres, disk = small_postgres
    asking, database = on_postgres(postgres, tmp_path, issuer, ending)
    disk.fill()
    said = [asking.ask() for _ in range(60)]
    assert set(said) - {None} == AWAY, "no certificate leaves"
    assert said[-20:] == [said[-1]] * 20, "some fit into what it had"
    disk.free()
    assert asking.ask() is None
    judge(database, asking.answered)


@pytest.mark.root
def test_where_postgresql_ends_for_want_of_room_we_do_not(small_postgres, tmp_path, issuer, ending):
    """Its log finds no room, and it gives up. Somebody makes room and starts it: nobody starts us."""
    postgres, disk = small_postgres
    asking, database = on_postgres(postgres, tmp_path, issuer, ending)
    disk.fill()
    use_up_the_log(postgres)
    assert {asking.ask() for _ in range(20)} == AWAY, "no certificate leaves"
    disk.free()
    asking.until_it_comes(postgres)
    judge(database, asking.answered)


def use_up_the_log(postgres):
    """Until it needs a new segment and has none."""
    place = {"host": str(postgres.folder), "user": "ostiary", "dbname": "postgres"}
    with (
        pytest.raises(psycopg.OperationalError),
        psycopg.connect(**place, autocommit=True) as to,
    ):
        new_segments(to, 200)


def new_segments(to, many):
    for _ in range(many):
        to.execute("SELECT txid_current()")
        to.execute("SELECT pg_switch_wal()")


@contextlib.contextmanager
def nothing_is_durable(postgres):
    """All its processes, and those that it starts, are told by the kernel that their disk failed."""
    pids = postgres.pids()
    attached = [f"--attach={one}" for one in pids]
    with subprocess.Popen([*STRACE, "-e", "inject=fdatasync,fsync:error=EIO", *attached]) as strace:
        try:
            until(lambda: all(tracer(one) for one in pids))
            yield
        finally:
            strace.terminate()


def tracer(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("TracerPid:")[2].split()[0])


@pytest.mark.root
def test_where_the_disk_fails_postgresql_no_certificate_leaves(tmp_path, issuer, ending):
    needs_root()
    needs_strace()
    postgres = ending.enter_context(server())
    postgres.make()
    started(postgres, ending)
    asking, database = on_postgres(postgres, tmp_path, issuer, ending)
    with nothing_is_durable(postgres):
        assert {asking.ask() for _ in range(20)} == AWAY
    asking.until_it_comes(postgres)
    judge(database, asking.answered)


def test_a_disk_that_fails_lets_no_certificate_out(tmp_path, issuer, ending):
    needs_strace()
    url = f"sqlite:///{tmp_path}/c.db"
    port = free_port()
    whole = Process(url, tmp_path, issuer, port=port)
    whole.start()
    asking = Asking(issuer, whole.url, ending)
    assert asking.ask() is None
    whole.end()
    inject = (*STRACE, "-e", "inject=fdatasync,fsync:error=EIO:when=5+")
    process = Process(url, tmp_path, issuer, port=port, before=inject)
    process.start(40)
    try:
        said = [asking.ask() for _ in range(12)]
    finally:
        children = Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children")
        for child in children.read_text().split():
            os.kill(int(child), 9)
        process.process.wait()
    assert set(said) - {None} == AWAY
    database = Database(url)
    ending.callback(database.close)
    judge(database, asking.answered)
