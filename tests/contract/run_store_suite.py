"""What every run store must do. A store's test module subclasses ``RunStoreSuite`` and defines ``store``.

    class TestFolderStore(RunStoreSuite):
        @pytest.fixture
        def store(self, tmp_path):
            return FolderStore(tmp_path / "runs")

Override ``other`` if a second opening of the same store needs more than the same object.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from ostiary.errors import UsageError


class RunStoreSuite:
    @pytest.fixture
    def store(self):
        raise NotImplementedError

    @pytest.fixture
    def other(self, store):
        """The same store, opened a second time, as another process would."""
        return store

    def test_absent_is_none(self, store):
        assert store.get("acme/lease") is None
        assert store.names("acme/") == ()
        store.delete("acme/lease")
        assert store.log("acme/journals/1").read() == b""

    def test_what_is_put_is_read_by_another(self, store, other):
        store.put("acme/a", b"\x00one")
        store.put("acme/a", b"two\n")
        assert other.get("acme/a").data == b"two\n"

    def test_put_new_succeeds_once(self, store, other):
        assert store.put_new("acme/a", b"first")
        assert not other.put_new("acme/a", b"second")
        assert store.get("acme/a").data == b"first"

    def test_one_of_many_put_new_wins(self, store, other):
        with ThreadPoolExecutor(8) as pool:
            results = list(
                pool.map(
                    lambda n: (other if n % 2 else store).put_new("acme/race", b"%d" % n), range(8)
                )
            )
        assert sum(results) == 1
        assert store.get("acme/race").data == b"%d" % results.index(True)

    def test_names_are_sorted_and_by_prefix(self, store):
        for name in ("acme/runs/2", "acme/runs/1", "acme/lease", "other/runs/3"):
            store.put(name, b"x")
        assert store.names("acme/runs/") == ("acme/runs/1", "acme/runs/2")
        assert store.names("acme/") == ("acme/lease", "acme/runs/1", "acme/runs/2")

    def test_deleted_is_gone(self, store):
        store.put("acme/a", b"x")
        store.delete("acme/a")
        assert store.get("acme/a") is None
        assert store.put_new("acme/a", b"y")

    def test_swap_writes_only_over_the_expected_version(self, store, other):
        first = store.swap("acme/lease", None, b"1")
        assert first == other.get("acme/lease").version
        assert other.swap("acme/lease", None, b"2") is None
        second = other.swap("acme/lease", first, b"2")
        assert second is not None
        assert store.swap("acme/lease", first, b"3") is None
        assert store.get("acme/lease").data == b"2"

    def test_swap_of_a_deleted_object_fails(self, store):
        version = store.swap("acme/lease", None, b"1")
        store.delete("acme/lease")
        assert store.swap("acme/lease", version, b"2") is None

    def test_one_of_many_swaps_wins(self, store, other):
        version = store.swap("acme/lease", None, b"0")
        with ThreadPoolExecutor(8) as pool:
            results = list(
                pool.map(
                    lambda n: (other if n % 2 else store).swap("acme/lease", version, b"n%d" % n),
                    range(8),
                )
            )
        winners = [number for number, won in enumerate(results) if won]
        assert len(winners) == 1
        assert store.get("acme/lease").data == b"n%d" % winners[0]

    def test_a_log_keeps_order_across_openings(self, store, other):
        log = store.log("acme/journals/1")
        log.append(b"one\n")
        log.append(b"two\n")
        log.close()
        again = other.log("acme/journals/1")
        again.append(b"three\n")
        assert again.read() == b"one\ntwo\nthree\n"
        again.close()
        assert store.log("acme/journals/1").read() == b"one\ntwo\nthree\n"

    def test_logs_do_not_mix(self, store):
        for name in ("acme/journals/1", "acme/journals/10"):
            log = store.log(name)
            log.append(name.encode())
            log.close()
        assert store.log("acme/journals/1").read() == b"acme/journals/1"

    @pytest.mark.parametrize(
        "name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a\n", "a b", "ä"]
    )
    def test_names_that_could_escape_are_refused(self, store, name):
        with pytest.raises(UsageError):
            store.put(name, b"x")
        with pytest.raises(UsageError):
            store.get(name)
