"""PostgreSQL that crashes, and that is followed by its standby: no certificate that was answered is lost."""

import os
import threading
import time

import psycopg
import pytest
from control_process import People, Process
from control_world import Issuer, Refused
from postgres_world import server
from test_control_killed import judge

from ostiary.doors.servers.control.database import Database

FULL = os.environ.get("OSTIARY_CHAOS") == "full"
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


@pytest.fixture
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.close()


class Load:
    """People who ask as long as the block lasts; ``answered`` is what they got."""

    def __init__(self, people, many):
        self.answered, self._people = [], people
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(people, many))

    def _run(self, people, many):
        self.answered, _ = people.ask_until(self._stop, many)

    def __enter__(self):
        self._thread.start()
        self._people.more(30)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def until_one_is_answered(people, seconds):
    """How long it took until somebody who signs in anew gets a certificate."""
    began = time.monotonic()
    while True:
        try:
            client = people.client("probe@acme.example", ["sre"])
            try:
                return client.certificate("web1"), time.monotonic() - began
            finally:
                client.close()
        except (OSError, Refused):
            assert time.monotonic() - began < seconds, "not available again"
            time.sleep(0.1)


def test_a_database_that_crashes_loses_no_certificate_that_was_answered(tmp_path, issuer):
    with server() as postgres:
        postgres.make()
        postgres.start()
        url = f"postgresql://ostiary@/postgres?host={postgres.folder}"
        process = Process(url, tmp_path, issuer)
        process.start()
        people = People(issuer, [process.url])
        people.project()
        probes = []
        with Load(people, 64 if FULL else 16) as load:
            for _ in range(10 if FULL else 2):
                postgres.stop()
                postgres.start()
                probe, took = until_one_is_answered(people, 30)
                probes.append(probe)
                assert took <= 30
        assert process.end() == 0
        database = Database(url)
        judge(database, [*load.answered, *probes])
        database.close()


def test_a_standby_follows_and_the_former_primary_is_not_written_to(tmp_path, issuer):
    with server() as first, server() as second:
        first.make()
        first.start()
        second.copy_of(first)
        second.start()
        synchronous(first)
        url = (
            f"postgresql://ostiary@/postgres?host={first.folder}&host={second.folder}"
            "&target_session_attrs=read-write"
        )
        process = Process(url, tmp_path, issuer)
        process.start()
        people = People(issuer, [process.url])
        people.project()
        with Load(people, 16) as load:
            first.stop()
            second.promote()
            probe, took = until_one_is_answered(people, 30)
            assert took <= 30
            people.more(30)
        answered = [*load.answered, probe]
        there = Database(f"postgresql://ostiary@/postgres?host={second.folder}")
        judge(there, answered)
        there.close()
        second.stop()
        first.start()  # it takes itself for the primary, as it was left
        codes = {refused_sign_in(people) for _ in range(12)}
        assert "" not in codes, "a sign-in is a write too"
        log = process.log.read_text()
        assert "older-database" in log
        process.end()


def refused_sign_in(people):
    """The code of the refusal, "" for a session."""
    time.sleep(0.3)
    try:
        people.client("late@acme.example", ["sre"]).close()
    except Refused as no:
        return no.code
    except OSError:
        return "no answer"
    return ""


def synchronous(primary):
    with psycopg.connect(host=str(primary.folder), user="ostiary", dbname="postgres") as to:
        to.autocommit = True
        to.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        to.execute("SELECT pg_reload_conf()")
        for _ in range(100):
            found = to.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
            if found == [("sync",)]:
                return
            time.sleep(0.1)
    raise AssertionError("the standby does not follow")
