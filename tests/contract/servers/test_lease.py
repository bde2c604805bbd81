"""One holder of a duty: between objects, between processes, past a holder that was killed; on both databases."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.duties import Duties
from ostiary.doors.servers.control.lease import Lease, Leased
from ostiary.doors.servers.control.tables import METADATA, leases
from ostiary.errors import LeaseHeld, Unreachable

HOLDER = """
import sys, time
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.duties import Duties
from ostiary.doors.servers.control.lease import Lease
lease = Lease(Database(sys.argv[1]), "okta-log", seconds=float(sys.argv[2]))
while True:
    print("held" if lease.hold() else "waits", flush=True)
    time.sleep(0.1)
"""


@pytest.fixture(params=["sqlite", "postgres"])
def address(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/control.db"
    else:
        yield f"postgresql://ostiary@/postgres?host={request.getfixturevalue('cluster')}"


@pytest.fixture
def database(address):
    database = Database(address)
    METADATA.create_all(database.engine)
    yield database
    METADATA.drop_all(database.engine)
    database.close()


@contextlib.contextmanager
def holder(address, seconds):
    """Another process that takes and renews the duty; its lines say whether it has it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, address, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        process.stdout.close()


def test_one_has_it_and_the_other_waits_until_it_is_released(database):
    first, second = Lease(database, "okta-log"), Lease(database, "okta-log")
    assert first.hold()
    assert not second.hold()
    assert first.hold(), "the holder renews"
    assert (first.held, second.held) == (True, False)
    assert Lease(database, "checkpoints").hold(), "another duty is another matter"
    first.release()
    assert second.hold()
    assert not first.hold()


def test_who_keeps_it_writes_only_when_a_third_of_the_time_is_over(database):
    lease = Lease(database, "okta-log", seconds=1.8)
    assert lease.keep()

    def until():
        with database.reading() as connection:
            return connection.scalar(select(leases.c.until))

    first = until()
    assert lease.keep()
    assert until() == first
    time.sleep(0.7)
    assert lease.keep()
    assert until() > first
    with database.writing() as connection:
        connection.execute(update(leases).values(holder="another"))
    time.sleep(0.7)
    assert not lease.keep()


def test_of_many_who_want_it_at_once_one_gets_it(database):
    wanting = [Lease(database, "okta-log") for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        got = list(pool.map(lambda lease: lease.hold(), wanting))
    assert sum(got) == 1


def test_a_killed_holder_is_followed_by_another_process(database, address):
    with holder(address, 1.0) as killed:
        assert killed.stdout.readline() == "held\n"
        own = Lease(database, "okta-log", seconds=1.0)
        assert not own.hold()
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        began = time.monotonic()
        while not own.hold():
            assert time.monotonic() - began < 5
            time.sleep(0.05)
        assert time.monotonic() - began < 2.5


def test_a_stopped_holder_notices_and_cannot_finish_its_work(database, address):
    """What a paused process began before another took over is refused in its own transaction."""
    paused = Lease(database, "okta-log", seconds=1.0)
    assert paused.hold()
    with database.writing() as connection:
        paused.fence(connection)
    other, end = Lease(database, "okta-log", seconds=30), time.monotonic() + 10
    while not other.hold():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert not paused.held
    with pytest.raises(LeaseHeld), database.writing() as connection:
        paused.fence(connection)
    with database.writing() as connection:
        other.fence(connection)


def test_a_duty_is_done_by_one_of_two_and_goes_on_when_that_one_stops(database):
    done, noted = [], threading.Event()

    def duties(name):
        def work(lease):
            assert lease.held
            done.append(name)
            noted.set()
            return 0.01

        return Duties([Leased(Lease(database, "vanished", seconds=3), work).duty()])

    first = duties("first")
    assert noted.wait(5)
    second = duties("second")
    time.sleep(0.3)
    first.close()
    assert set(done) == {"first"}
    until = time.monotonic() + 5
    while "second" not in done:
        assert time.monotonic() < until
        time.sleep(0.02)
    second.close()


def test_who_ends_in_good_order_keeps_nobody_waiting_and_takes_it_from_nobody(database):
    done = threading.Event()

    def work(_):
        done.set()
        return 60.0

    holder, other = (Leased(Lease(database, "vanished", seconds=60), work) for _ in range(2))
    holding = Duties([holder.duty()])
    assert done.wait(5)
    Duties([other.duty()]).close()
    assert not Lease(database, "vanished").hold(), "the end of who has it not changes nothing"
    holding.close()
    assert Lease(database, "vanished").hold()


def test_a_round_that_fails_is_told_and_done_again(database, monkeypatch):
    monkeypatch.setattr("ostiary.doors.servers.control.lease.PATIENCE", 0.3)
    tries = []

    def work(_):
        tries.append(1)
        if len(tries) == 1:
            raise Unreachable("cannot read the System Log", why="connection refused")
        return 60.0

    duties = Duties([Leased(Lease(database, "okta-log"), work).duty()])
    until = time.monotonic() + 5
    while not duties.problems():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert duties.problems() == ("okta-log: cannot read the System Log: connection refused",)
    while duties.problems():
        assert time.monotonic() < until
        time.sleep(0.01)
    duties.close()
    assert len(tries) == 2


def test_a_deadline_in_the_past_is_nobodys(database):
    lease = Lease(database, "okta-log")
    assert lease.hold()
    with database.writing() as connection:
        connection.execute(update(leases).values(until=1.0))
    with pytest.raises(LeaseHeld), database.writing() as connection:
        lease.fence(connection)
    assert Lease(database, "okta-log").hold()
