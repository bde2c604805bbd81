"""What was answered is written down, whatever happens to the process."""

import json
import os
import statistics
import threading
import time

import pytest
from control_process import People, Process
from control_world import Issuer, Refused
from slowed import slowed
from sqlalchemy import select

from ostiary.doors.servers.control import tables
from ostiary.doors.servers.control.chain import Row, faults
from ostiary.doors.servers.control.database import Database

FULL = os.environ.get("OSTIARY_CHAOS") == "full"
STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0


@pytest.fixture
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.close()


def judge(database, answered):
    """Every certificate that was answered has its row, no serial and no number is told twice, the chain is whole.

    Of serials and numbers the audit is asked, where no constraint of a table keeps them apart. How many certificates were
    written and not answered.
    """
    with database.reading() as connection:
        table = tables.certificates
        serials = [str(one) for one in connection.scalars(select(table.c.serial))]
        rows = [
            Row(*one)
            for one in connection.execute(select(tables.audit).order_by(tables.audit.c.number))
        ]
        users = connection.execute(select(tables.local_users)).all()
        groups = connection.execute(select(tables.local_groups)).all()
    told = [json.loads(one.body)["serial"] for one in rows if one.event == "certificate.issued"]
    acked = [one.serial for one in answered]
    assert len(set(acked)) == len(acked)
    assert len(set(told)) == len(told)
    assert set(acked) <= set(told) == set(serials)
    assert list(faults(rows)) == []
    made = [json.loads(one.body) for one in rows if one.event.startswith("local-")]
    for number, held in (("uid", users), ("gid", [*users, *groups])):
        given = [one[number] for one in made if number in one]
        assert len(set(given)) == len(given), number
        assert set(given) == {getattr(one, number) for one in held}, number
    return len(told) - len(acked)


def killed(process, issuer, rounds, many):
    """Kill -9 a process under load again and again."""
    people = People(issuer, [process.url])
    process.start()
    people.project()
    stop, found = threading.Event(), []
    asking = threading.Thread(target=lambda: found.append(people.ask_until(stop, many)))
    asking.start()
    starts = []
    try:
        for _ in range(rounds):
            people.more(30)
            process.kill()
            starts.append(process.start())
    finally:
        stop.set()
        asking.join()
        process.end()
    answered, _ = found[0]
    return answered, starts


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_kill_nine_loses_no_certificate_that_was_answered(database_url, tmp_path, issuer):
    rounds, many = (100, 64) if FULL else (3, 16)
    answered, starts = killed(Process(database_url, tmp_path, issuer), issuer, rounds, many)
    database = Database(database_url)
    try:
        unanswered = judge(database, answered)
    finally:
        database.close()
    assert len(answered) >= 30 * rounds
    assert unanswered <= many * rounds, "no more than were in flight"
    assert statistics.median(starts) <= 5 * slowed(), "ready again"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_of_two_processes_on_one_database_one_may_die(database_url, tmp_path, issuer):
    kek = tmp_path / "kek"
    first = Process(database_url, tmp_path, issuer, kek=kek)
    second = Process(database_url, tmp_path, issuer, kek=kek)
    people = People(issuer, [first.url, second.url])
    first.start()
    second.start()
    people.project()
    stop, found = threading.Event(), []
    asking = threading.Thread(target=lambda: found.append(people.ask_until(stop, 16)))
    asking.start()
    try:
        people.more(50)
        first.kill()
        people.more(50)
    finally:
        stop.set()
        asking.join()
        code = second.end()
    answered, failed = found[0]
    database = Database(database_url)
    try:
        judge(database, answered)
    finally:
        database.close()
    assert code == 0
    assert failed < len(answered), "who was cut off went on at the other"


def test_it_ends_in_good_order(tmp_path, issuer):
    process = Process(f"sqlite:///{tmp_path}/c.db", tmp_path, issuer)
    process.start()
    people = People(issuer, [process.url])
    people.project()
    stop, found = threading.Event(), []
    asking = threading.Thread(target=lambda: found.append(people.ask_until(stop, 4)))
    asking.start()
    people.more(20)
    began = time.monotonic()
    assert process.end() == 0
    assert time.monotonic() - began < 10
    stop.set()
    asking.join()
    database = Database(f"sqlite:///{tmp_path}/c.db")
    assert judge(database, found[0][0]) == 0, "all that was written was answered"
    database.close()
    assert oct((tmp_path / "c.db").stat().st_mode & 0o777) == "0o600"
    log = process.log.read_text()
    for secret in ("ostiary_session", "ostiary_enroll", "eyJ", "ssh-ed25519-cert", "PRIVATE"):
        assert secret not in log
    assert "Traceback" not in log


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_lock_that_is_held_too_long_is_a_503(database_url, tmp_path, issuer):
    process = Process(database_url, tmp_path, issuer)
    process.start()
    people = People(issuer, [process.url])
    people.project()
    alice = people.client("alice@acme.example", ["sre"])
    answered = [alice.certificate("web1")]
    database = Database(database_url)
    with database.writing() as connection:
        connection.execute(select(tables.chains).with_for_update())
        with pytest.raises(Refused) as no:
            alice.certificate("web1")
    assert (no.value.status, no.value.code) == (503, "database")
    answered.append(alice.certificate("web1"))
    alice.close()
    assert process.end() == 0
    judge(database, answered)
    database.close()
