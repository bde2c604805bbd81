import os
import stat

import pytest
from memory_store import MemoryStore
from run_store_suite import RunStoreSuite

from ostiary.errors import OstiaryError
from ostiary.plan.runs import FolderStore, SegmentLog


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs"


class TestFolderStore(RunStoreSuite):
    @pytest.fixture
    def store(self, folder):
        return FolderStore(folder)

    @pytest.fixture
    def other(self, folder):
        return FolderStore(folder)

    def test_others_may_not_read(self, store, folder):
        store.put("acme/lease", b"x")
        log = store.log("acme/journals/1")
        log.append(b"x")
        log.close()
        modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
        assert modes == {0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_a_failed_sync_is_an_error_for_ever(self, store, monkeypatch):
        log = store.log("acme/journals/1")
        log.append(b"one")
        monkeypatch.setattr(os, "fdatasync", _fail)
        with pytest.raises(OstiaryError, match="Input/output error"):
            log.append(b"two")
        monkeypatch.undo()
        with pytest.raises(OstiaryError, match="an earlier write failed"):
            log.append(b"three")
        log.close()

    def test_no_half_object_after_a_failed_write(self, store, folder, monkeypatch):
        store.put("acme/a", b"old")
        monkeypatch.setattr(os, "fsync", _fail)
        with pytest.raises(OstiaryError, match="cannot write acme/a"):
            store.put("acme/a", b"new")
        monkeypatch.undo()
        assert store.get("acme/a").data == b"old"
        assert [path.name for path in (folder / "acme").iterdir()] == ["a"]


class TestSegmentLog(RunStoreSuite):
    """Any store may keep its logs as segments; the folder shows that it comes to the same."""

    @pytest.fixture
    def store(self, folder):
        return _Segmented(folder)


class TestMemoryStore(RunStoreSuite):
    @pytest.fixture
    def store(self):
        return MemoryStore()


class _Segmented(FolderStore):
    def log(self, name):
        return SegmentLog(self, name)


def _fail(_file):
    raise OSError(5, os.strerror(5))
