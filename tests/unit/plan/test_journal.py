import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from memory_store import MemoryStore

from ostiary.errors import Conflict, Denied, OstiaryError
from ostiary.plan.change import Change
from ostiary.plan.journal import Journal, read_journal
from ostiary.plan.resource import Key
from ostiary.plan.runs import FolderStore
from ostiary.plan.wrap import LocalKeyWrap

KEY = bytes(32)


def change(name="Ops", action="update"):
    return Change(action, Key("role", "000000000111", name))


@pytest.fixture
def log(tmp_path):
    log = FolderStore(tmp_path).log("acme/journals/1")
    yield log
    log.close()


def write(log, count=3):
    journal = Journal(log, "1", KEY)
    journal.begin({"user": "ada"})
    for number in range(count):
        one = change(f"R{number}")
        journal.intent(one, {"was": number} if number else None)
        journal.outcome(one.key, "done", fingerprint="f")
    return journal


def test_comes_back_with_its_before_images(log):
    write(log).end({"done": 3})
    recorded = read_journal("1", log.read())
    assert recorded.begin["user"] == "ada"
    assert [step.key.name for step in recorded.steps] == ["R0", "R1", "R2"]
    assert [recorded.before(step, KEY) for step in recorded.steps] == [None, {"was": 1}, {"was": 2}]
    assert recorded.end["counts"] == {"done": 3}
    assert recorded.unfinished == ()
    with pytest.raises(Denied):
        recorded.before(recorded.steps[1], bytes(31) + b"x")


def test_an_intent_without_outcome_is_unfinished(log):
    journal = write(log)
    journal.intent(change("Open"), None)
    journal.intent(change("Lost"), None)
    journal.outcome(change("Lost").key, "unknown", error="reset")
    journal.end({})
    recorded = read_journal("1", log.read())
    assert [step.key.name for step in recorded.unfinished] == ["Open", "Lost"]


def test_a_cut_tail_is_what_a_kill_leaves(log):
    write(log).end({})
    whole = log.read()
    full = read_journal("1", whole)
    for cut in range(1, 513):
        recorded = read_journal("1", whole[:-cut])
        assert len(recorded.steps) <= len(full.steps)
        for step, there in zip(recorded.steps, full.steps, strict=False):
            assert step.key == there.key


def test_every_flipped_byte_is_a_checksum_error(log):
    write(log).end({})
    whole = log.read()
    for index in range(len(whole) - 1):
        with pytest.raises(Conflict) as caught:
            read_journal("1", whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        assert "checksum error in line" in caught.value.why
        assert "plan again" in caught.value.fix


def test_lines_left_out_or_swapped_are_found(log):
    write(log).end({})
    lines = log.read().splitlines(keepends=True)
    for wrong in (lines[1:], lines[:2] + lines[3:], [lines[0], lines[2], lines[1], *lines[3:]]):
        with pytest.raises(Conflict):
            read_journal("1", b"".join(wrong))


def test_threads_share_one_append():
    class CountingStore(MemoryStore):
        def put_new(self, name, data):
            assert gate.wait(20)
            return super().put_new(name, data)

    gate = threading.Event()
    store = CountingStore()
    journal = Journal(store.log("acme/journals/1"), "1", KEY)
    with ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(journal.intent, change(f"R{n}"), None) for n in range(16)]
        while journal._number < 16:
            time.sleep(0.001)
        gate.set()
        for future in waiting:
            future.result()
    assert len(store.objects) == 2  # the first alone, then all that queued meanwhile
    assert len(read_journal("1", store.log("acme/journals/1").read()).steps) == 16


def test_after_one_failure_nothing_more_is_written(log, monkeypatch):
    journal = write(log)
    whole = log.read()
    monkeypatch.setattr(log, "append", _full)
    with pytest.raises(OstiaryError, match="cannot write the journal of run 1"):
        journal.intent(change("Next"), None)
    monkeypatch.undo()
    with pytest.raises(OstiaryError, match="no space left"):
        journal.intent(change("After"), None)
    assert log.read() == whole


def test_it_is_lines_of_json(log):
    write(log)
    rows = [json.loads(line) for line in log.read().splitlines()]
    assert [row["n"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[0]["type"] == "begin"


class TestLocalKeyWrap:
    def test_wraps_and_makes_its_key_once(self, tmp_path):
        wrap = LocalKeyWrap.beside(tmp_path / "runs")
        wrapped = wrap.wrap(KEY)
        assert LocalKeyWrap(tmp_path / "runs.key").unwrap(wrapped) == KEY
        assert (tmp_path / "runs.key").stat().st_mode & 0o777 == 0o600
        assert [path.name for path in tmp_path.iterdir()] == ["runs.key"]

    def test_a_key_that_others_may_read_is_refused(self, tmp_path):
        wrap = LocalKeyWrap(tmp_path / "key")
        wrap.wrap(KEY)
        (tmp_path / "key").chmod(0o644)
        with pytest.raises(Denied, match="others may read it"):
            wrap.wrap(KEY)

    @pytest.mark.parametrize("size", [0, 16, 31, 44])
    def test_a_file_that_holds_no_key_is_told_of(self, tmp_path, size):
        (tmp_path / "key").write_bytes(bytes(size))
        (tmp_path / "key").chmod(0o600)
        with pytest.raises(Denied, match=f"it has {size} bytes: a key is 32 random bytes"):
            LocalKeyWrap(tmp_path / "key").wrap(KEY)

    def test_a_credential_of_systemd_may_be_readable_through_an_acl(self, tmp_path):
        (tmp_path / "key").write_bytes(bytes(32))
        (tmp_path / "key").chmod(0o440)
        given = LocalKeyWrap.credential(tmp_path / "key")
        assert given.unwrap(given.wrap(KEY)) == KEY
        with pytest.raises(Denied, match="others may read it"):
            LocalKeyWrap(tmp_path / "key").wrap(KEY)
        (tmp_path / "key").chmod(0o444)
        with pytest.raises(Denied, match="others may read it"):
            given.wrap(KEY)

    def test_without_the_key_nothing_opens(self, tmp_path):
        wrapped = LocalKeyWrap(tmp_path / "key").wrap(KEY)
        with pytest.raises(OstiaryError, match="No such file"):
            LocalKeyWrap(tmp_path / "other").unwrap(wrapped)
        LocalKeyWrap(tmp_path / "other").wrap(KEY)
        with pytest.raises(Denied, match="the key is another one"):
            LocalKeyWrap(tmp_path / "other").unwrap(wrapped)


def _full(_data):
    raise OstiaryError("cannot append", why="no space left")
