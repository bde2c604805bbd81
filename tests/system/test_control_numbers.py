"""UIDs and GIDs are for ever: judged by what was told to hosts, which make accounts of it, and not by the rows that are left."""

import contextlib
import http.client
import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from control_process import People, Process
from control_world import Client, Host, Issuer, Refused
from sqlalchemy import select
from test_control_killed import judge

from ostiary.doors.servers.control import tables
from ostiary.doors.servers.control.database import Database

FULL = os.environ.get("OSTIARY_CHAOS") == "full"
NO_ANSWER = (OSError, Refused, http.client.HTTPException, ValueError)
AT_ONCE = 8
GROUPS = 100


@pytest.fixture
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.close()


class Told:
    """What hosts were told by whatever process: each asks all the while, with the host key of the one that was enrolled."""

    def __init__(self, host, urls):
        self.hosts = [Host(url, host.key) for url in urls]
        for one in self.hosts:
            one.id = host.id
        self.users, self.groups, self.answers = set(), set(), 0
        self.news = {one: threading.Event() for one in self.hosts}

    def ask(self, host):
        state = host.state()
        users = {(one.login, one.uid, one.gid) for one in state.users}
        if users - self.users:
            self.news[host].set()
        self.users |= users
        self.groups |= {(one.name, one.gid) for one in state.groups}
        self.answers += 1
        return state

    def ask_until(self, stop, host):
        while not stop.is_set():
            try:
                self.ask(host)
            except NO_ANSWER as error:
                is_busy = isinstance(error, Refused) and error.code == "busy"
                assert not is_busy, "however many come, hosts are told"
                host.client.close()
                time.sleep(0.02)

    def until_news_of(self, host):
        """As it has just told of somebody new."""
        self.news[host].clear()
        assert self.news[host].wait(60)

    def judge(self):
        """One login, one UID, one GID, whoever was asked and when; no two have one of them; groups among the GIDs too."""
        logins, uids, gids = (set(part) for part in zip(*self.users, strict=True))
        assert len(logins) == len(uids) == len(gids) == len(self.users)
        names, of_groups = (set(part) for part in zip(*self.groups, strict=True))
        assert len(names) == len(of_groups) == len(self.groups)
        assert not gids & of_groups
        assert min(uids) == 60001
        assert min(gids | of_groups) == 63001
        return max(uids), max(gids | of_groups)

    def close(self):
        for one in self.hosts:
            one.client.close()


class Newcomers:
    """People who come for the first time, ``AT_ONCE`` of them at any time, each trying until it is done.

    Every other one only signs in: it is a host that will have a number made for them, when it asks.
    """

    def __init__(self, people):
        self.people, self.came, self.issued = people, [], []
        self._numbers = itertools.count()

    def come(self, stop):
        while not stop.is_set():
            number = next(self._numbers)
            found = self.done(number)
            self.came.append(f"n{number}")
            if found is not None:
                assert found.login == f"n{number}"
                self.issued.append(found)

    def done(self, number):
        login, group = f"n{number}@acme.example", f"g{number // 3 % GROUPS}"
        end = time.monotonic() + 60
        for way in itertools.count(number // 2):
            with contextlib.suppress(*NO_ANSWER):
                client = self.people.client(login, [group], way)
                try:
                    return client.certificate("web1") if number % 2 else None
                finally:
                    client.close()
            assert time.monotonic() < end, f"{login} did not get in"
            time.sleep(0.02)
        raise AssertionError


def more(told, newcomers, answers=3, came=15):
    """Wait until so many more hosts were told, and people let in."""
    answers, came = answers + told.answers, came + len(newcomers.came)
    end = time.monotonic() + 60
    while told.answers < answers or len(newcomers.came) < came:
        assert time.monotonic() < end, (told.answers, answers, len(newcomers.came), came)
        time.sleep(0.02)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_number_is_told_twice_where_one_of_two_processes_is_killed(
    database_url, tmp_path, issuer
):
    """Killed when it has just told a host of somebody, while both count for who comes and what asks; then it is back."""
    kek = tmp_path / "kek"
    first, second = (Process(database_url, tmp_path, issuer, kek=kek) for _ in range(2))
    first.start()
    second.start()
    people = People(issuer, [first.url, second.url])
    told = Told(people.project(groups=[f"g{one}" for one in range(GROUPS)]), people.urls)
    newcomers, stop = Newcomers(people), threading.Event()
    try:
        with ThreadPoolExecutor(AT_ONCE + 2) as pool:
            asking = [pool.submit(newcomers.come, stop) for _ in range(AT_ONCE)]
            asking += [pool.submit(told.ask_until, stop, one) for one in told.hosts]
            try:
                for _ in range(30 if FULL else 2):
                    more(told, newcomers)
                    told.until_news_of(told.hosts[0])
                    first.kill()
                    more(told, newcomers)
                    first.start()
                more(told, newcomers)
            finally:
                stop.set()
        for one in asking:
            one.result()
        last = [{one.login: one.uid for one in told.ask(host).users} for host in told.hosts]
    finally:
        told.close()
        codes = [first.end(), second.end()]
    assert codes == [0, 0]
    assert last[0] == last[1]
    assert set(newcomers.came) == last[0].keys()
    highest = told.judge()
    database = Database(database_url)
    judge(database, newcomers.issued)
    with database.reading() as connection:
        counters = connection.execute(select(tables.projects.c["uid_next", "gid_next"])).one()
    database.close()
    assert all(one < counter for one, counter in zip(highest, counters, strict=True))


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_people_who_come_at_once_get_numbers_of_their_own_for_ever(database_url, tmp_path, issuer):
    many = 1000 if FULL else 100
    kek = tmp_path / "kek"
    count = 2 if database_url.startswith("postgresql") else 1
    processes = [Process(database_url, tmp_path, issuer, kek=kek) for _ in range(count)]
    for one in processes:
        one.start()
    people = People(issuer, [one.url for one in processes])
    host = people.project()

    def come(number, groups=("sre",)):
        client = people.client(f"p{number}@acme.example", groups, number)
        try:
            return client.certificate("web1")
        except Refused as no:
            return no.code
        finally:
            client.close()

    try:
        with ThreadPoolExecutor(min(64, many)) as pool:
            issued = list(pool.map(come, range(many)))
        assert [one.login for one in issued] == [f"p{number}" for number in range(many)]
        host.client = Client(processes[0].url)
        before = {one.login: (one.uid, one.gid) for one in host.state().users}
        assert sorted(uid for uid, _ in before.values()) == list(range(60001, 60001 + many))
        assert len({gid for _, gid in before.values()}) == many
        assert come(7, ()) == "no-server"
        assert "p7" not in {one.login for one in host.state().users}
        time.sleep(1.1)  # an ID token says to the second when it was made
        assert come(7).login == "p7"
        assert {one.login: (one.uid, one.gid) for one in host.state().users} == before
        host.client.close()
    finally:
        for one in processes:
            one.end()
