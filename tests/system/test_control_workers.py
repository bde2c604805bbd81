"""Several workers at one address: they share the work, one may die, they end together, and see what the others saw."""

import contextlib
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from control_process import People, Process
from control_world import Client, Issuer
from test_control_killed import judge

from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.turn import Turn


@pytest.fixture
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture
def served(tmp_path, issuer):
    process = Process(f"sqlite:///{tmp_path}/c.db", tmp_path, issuer, options=("--workers", "2"))
    process.start()
    until(lambda: all(map(serves, workers_of(process.process.pid))))
    yield process
    process.end()


def serves(pid):
    """Whether it has come as far as its event loop: one that fails before ends all of them."""
    return "anon_inode:[eventpoll]" in held_by(pid)


def held_by(pid):
    """What its descriptors lead to; those that are closed meanwhile are left out."""
    found = set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(one.readlink()))
    return found


def workers_of(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def until(held, seconds=30):
    deadline = time.monotonic() + seconds
    while not held():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.fixture
def loaded(served, issuer):
    """People who ask all the time, until ``end`` is called: it gives what they were answered."""
    people = People(issuer, [served.url])
    people.project()
    stop, found = threading.Event(), []
    asking = threading.Thread(target=lambda: found.append(people.ask_until(stop, 12)))
    asking.start()

    def end():
        stop.set()
        asking.join()
        return found[0][0]

    yield end
    stop.set()
    asking.join()


def test_both_work_and_when_one_is_killed_the_other_goes_on_and_another_comes(
    served, loaded, tmp_path
):
    one, other = workers_of(served.process.pid)
    until(lambda: min(cpu_of(one), cpu_of(other)) > 20)
    os.kill(one, signal.SIGKILL)
    until(lambda: one not in workers_of(served.process.pid))
    until(lambda: len(workers_of(served.process.pid)) == 2)
    assert other in workers_of(served.process.pid)
    client = Client(served.url)
    assert client.raw("GET", "/healthz")[0] == 204
    client.close()
    answered = loaded()
    database = Database(f"sqlite:///{tmp_path}/c.db")
    judge(database, answered)
    database.close()
    assert len(answered) > 50


def test_they_end_together_in_good_order(served, loaded):
    pids = workers_of(served.process.pid)
    assert served.end() == 0
    until(lambda: not any(map(there, pids)))
    loaded()


def test_when_the_first_is_killed_none_is_left_at_the_address(served):
    pids = workers_of(served.process.pid)
    served.kill()
    until(lambda: not any(map(there, pids)))
    served.start()
    assert len(workers_of(served.process.pid)) == 2


def test_what_one_of_them_saw_no_later_one_forgets(served, loaded, tmp_path, issuer):
    """A backup that is older than what any worker saw is refused, whichever saw it; by word it is taken."""
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "c.db")) as now,
        contextlib.closing(sqlite3.connect(tmp_path / "older.db")) as kept,
    ):
        now.backup(kept)
    seen_by_second = tmp_path / f"state-{served.port}/high-water.1"
    until(lambda: seen_by_second.stat().st_size > 2000)
    assert loaded()
    served.end()
    for one in tmp_path.glob("c.db*"):
        one.unlink()
    (tmp_path / "older.db").rename(tmp_path / "c.db")
    (tmp_path / f"state-{served.port}/high-water").unlink()
    served.launch()
    assert served.process.wait(20) != 0
    assert "older than what was seen of it" in served.log.read_text()
    accepting = Process(
        f"sqlite:///{tmp_path}/c.db",
        tmp_path,
        issuer,
        port=served.port,
        options=("--workers", "2", "--accept-older-database"),
    )
    accepting.start()
    assert accepting.end() == 0
    served.start()


def test_whose_turn_it_is_waits_without_going_to_sleep_for_long(tmp_path):
    """Two processes, as it were, take turns a hundred times faster than SQLite's own sleeps would let them."""
    turns = [Turn(tmp_path / "turn", 5.0) for _ in range(2)]
    inside, most = [], []

    def take(turn):
        for _ in range(100):
            with turn.held():
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=take, args=(turn,)) for turn in turns]
    started = time.monotonic()
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert max(most) == 1
    assert time.monotonic() - started < 2.0
    for one in turns:
        one.close()


def test_who_does_not_get_its_turn_asks_the_database_all_the_same(tmp_path):
    first, second = (Turn(tmp_path / "turn", 0.2) for _ in range(2))
    with contextlib.closing(first), contextlib.closing(second), first.held():
        started = time.monotonic()
        with second.held():
            assert 0.2 <= time.monotonic() - started < 2


def test_who_keeps_its_turn_for_ever_is_waited_for_once(tmp_path):
    """As a process that was stopped does: else each batch of all others would take so long."""
    first, second, third = (Turn(tmp_path / "turn", 0.3) for _ in range(3))
    with contextlib.closing(first), contextlib.closing(second), contextlib.closing(third):
        with first.held():
            started = time.monotonic()
            for _ in range(20):
                with second.held():
                    pass
            assert 0.3 <= time.monotonic() - started < 2
        started = time.monotonic()
        with second.held(), third.held():
            assert time.monotonic() - started >= 0.3, "the second has it again"


def test_no_file_elsewhere_is_made_for_a_turn(tmp_path):
    (tmp_path / "turn").symlink_to(tmp_path / "elsewhere")
    with contextlib.closing(Turn(tmp_path / "turn", 0.2)) as turn, turn.held():
        assert not (tmp_path / "elsewhere").exists()


def test_it_ends_in_good_order_though_a_worker_died_in_that_moment(tmp_path, issuer):
    """The first has waited for the one that was killed, and knows it no more when it passes the signal on."""
    slowly = ("trace=wait4", "inject=wait4:delay_exit=1000000")
    before = ("strace", "-qo", "/dev/null", *(part for one in slowly for part in ("-e", one)))
    database = f"sqlite:///{tmp_path}/c.db"
    traced = Process(database, tmp_path, issuer, before=before, options=("--workers", "2"))
    traced.start()
    (first,) = workers_of(traced.process.pid)
    one, other = workers_of(first)
    os.kill(one, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{one}").exists())
    os.kill(first, signal.SIGTERM)
    traced.process.wait(20)
    until(lambda: not there(other))
    assert "defect" not in traced.log.read_text()


def test_a_worker_that_cannot_begin_anew_for_a_while_takes_nobody_with_it(served, tmp_path):
    one, other = workers_of(served.process.pid)
    (tmp_path / "kek").rename(tmp_path / "away")
    os.kill(one, signal.SIGKILL)
    until(lambda: "cannot open the keys" in served.log.read_text())
    assert workers_of(served.process.pid)[0] == other
    (tmp_path / "away").rename(tmp_path / "kek")

    def stay():
        """One that failed may not have ended yet, and is begun anew a second after that."""
        before = workers_of(served.process.pid)
        time.sleep(2)
        return len(before) == 2 and workers_of(served.process.pid) == before

    until(stay)
    assert served.end() == 0


def listening_of(pid):
    """The inodes of the sockets that a process listens at. Source: proc(5), net/tcp: state 0A."""
    table = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    listening = {fields[9] for fields in table if fields[3] == "0A"}
    held = held_by(pid)
    return {one for one in listening if f"socket:[{one}]" in held}


def test_each_holds_its_own_socket_alone(served):
    one, other = (listening_of(pid) for pid in workers_of(served.process.pid))
    assert (len(one), len(other)) == (1, 1)
    assert one != other


def test_a_second_at_the_same_address_is_refused(served, tmp_path, issuer):
    """The kernel would let it share the address, and shares out connections among two control planes."""
    folder = tmp_path / "second"
    folder.mkdir()
    second = Process(
        f"sqlite:///{folder}/c.db", folder, issuer, port=served.port, options=("--workers", "2")
    )
    with contextlib.ExitStack() as ending:
        second.launch()
        ending.callback(second.end)
        assert second.process.wait(20) != 0
    assert "address already in use" in second.log.read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_with_the_same_folder_is_refused_and_one_after_it_is_not(
    tmp_path, issuer, workers
):
    """Each would take what it saw of its own database for what was seen of the other's."""
    options = ("--state-dir", str(tmp_path / "state"), "--workers", workers)
    first = Process(f"sqlite:///{tmp_path}/c.db", tmp_path, issuer, options=options)
    second = Process(f"sqlite:///{tmp_path}/d.db", tmp_path, issuer, options=options)
    with contextlib.ExitStack() as ending:
        first.start()
        ending.callback(first.end)
        second.launch()
        ending.callback(second.end)
        assert second.process.wait(20) != 0
        assert "another control plane uses it now" in second.log.read_text()
        assert not (tmp_path / "d.db").exists()
        first.kill()
        first.start()


def test_who_comes_while_the_last_worker_ends_is_not_kept_waiting(served):
    """The first lets go of its sockets: nothing is left that listens and that nobody serves."""
    one, other = workers_of(served.process.pid)
    os.kill(other, signal.SIGSTOP)
    try:
        served.process.send_signal(signal.SIGTERM)
        until(lambda: not there(one))
        assert listening_of(served.process.pid) == set()
    finally:
        os.kill(other, signal.SIGCONT)
    assert served.process.wait(20) == 0
