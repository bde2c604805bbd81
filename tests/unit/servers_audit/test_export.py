"""Exports: in segments of a day that end at checkpoints, going on after a kill at any point, nothing of a broken chain."""

import re
from dataclasses import replace

import pytest
from audit_files import PROJECT, new_signer, plain, sign, write

from ostiary.cli import run
from ostiary.doors.servers.audit import checkpoint, segment
from ostiary.doors.servers.audit.export import export
from ostiary.doors.servers.audit.targets import InFile, InStore
from ostiary.doors.servers.audit.verify import verify
from ostiary.errors import Conflict, OstiaryError, ProofFailed, UsageError
from ostiary.plan.runs import FolderStore

SIGNER = new_signer()
HOUR = 3600.0


class Source:
    """The other side: gives some rows, or checkpoints, at a time."""

    project_id = PROJECT

    def __init__(self, rows, signed, signer=SIGNER, at_once=7):
        self.all, self.at_once = rows, at_once
        self.signed = [sign(signer, rows[number - 1]) for number in signed]

    def rows(self, after):
        return [one for one in self.all if one.number > after][: self.at_once]

    def checkpoints(self, after):
        return [one for one in self.signed if one.number > after][:2]


def take(source, target):
    return export(source, target, [SIGNER.public_key])


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "archive"


@pytest.fixture
def store(folder):
    return InStore(FolderStore(folder))


def names(folder):
    return sorted(one.relative_to(folder / PROJECT).as_posix() for one in folder.rglob("*.jsonl"))


def test_each_day_is_a_segment_that_its_checkpoint_proves(folder, store):
    rows = plain(60, step=HOUR)  # from 08:00 on, over three days
    source = Source(rows, [5, 16, 20, 40, 41, 55])
    found = take(source, store)
    assert (found.first, found.last, len(found.segments)) == (1, 55, 3)
    assert names(folder) == [
        "2027-01-15/000000000001-000000000016.jsonl",
        "2027-01-16/000000000017-000000000040.jsonl",
        "2027-01-17/000000000041-000000000055.jsonl",
    ]
    files = sorted(folder.rglob("*.jsonl"))
    for file in files:
        signed = list(checkpoint.read(file.with_suffix(".checkpoint")))
        alone = verify([file], signed, [SIGNER.public_key])
        assert (alone.whole, alone.covered, alone.trusted) == (True, alone.last, True)
    assert verify(files).rows == 55
    assert take(source, store).segments == ()
    source.signed.append(sign(SIGNER, rows[59]))
    assert take(source, store).segments == (
        f"{PROJECT}/2027-01-17/000000000056-000000000060.jsonl",
    )


def test_a_folder_of_exports_is_verified_as_a_whole(folder, store, tmp_path, capsys):
    take(Source(plain(60, step=HOUR), [16, 40, 55]), store)
    (tmp_path / "keys").write_text(SIGNER.public_key.text())
    command = ["audit", "verify", str(folder), "--authority", str(tmp_path / "keys")]
    assert run(command) == 0
    assert "rows 1 to 55, whole\ncheckpoint 55 is signed by" in capsys.readouterr().out
    assert run(["audit", "reconcile", str(folder)]) == 0
    max(folder.rglob("*.jsonl")).unlink()
    assert run(command) == 11, "the checkpoint beside it tells of the last segment"
    assert run(["audit", "verify", str(tmp_path / "archive" / PROJECT / "2027-01-17")]) == 5


def test_a_day_of_very_many_rows_is_several_segments(folder, store, monkeypatch):
    monkeypatch.setattr("ostiary.doors.servers.audit.export.LARGEST", 10)
    take(Source(plain(40), range(4, 41, 4)), store)
    assert [one.split("/")[1] for one in names(folder)] == [
        f"{first:012}-{last:012}.jsonl"
        for first, last in ((1, 8), (9, 16), (17, 24), (25, 32), (33, 40))
    ]


class Killed(Exception):
    pass


class Dies:
    """A store whose process is killed before, or after, its ``at``-th write."""

    def __init__(self, store, at, *, after):
        self.store, self.left, self.after = store, at, after
        self.get, self.names = store.get, store.names

    def put_new(self, name, data):
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        done = self.store.put_new(name, data)
        if self.left == 0:
            raise Killed
        return done


@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_was_killed_goes_on_and_nothing_is_there_twice(folder, at, after):
    store = FolderStore(folder)
    rows = plain(60, step=HOUR)
    with pytest.raises(Killed):
        take(Source(rows, [16, 40, 55]), InStore(Dies(store, at, after=after)))
    later = Source(rows, [16, 20, 40, 41, 55, 58])  # by now there are more
    take(later, InStore(store))
    files = sorted(folder.rglob("*.jsonl"))
    found = verify(files, [sign(SIGNER, rows[57])])
    assert (found.whole, found.first, found.last, found.rows) == (True, 1, 58, 58)
    assert len(files) == len(list(folder.rglob("*.checkpoint")))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows.__setitem__(30, replace(rows[30], body="{}")),
        lambda rows: rows.pop(30),
        lambda rows: rows.pop(),
    ],
)
def test_a_broken_chain_is_not_exported_but_what_came_before_is(folder, store, tmp_path, spoil):
    rows = plain(55, step=HOUR)
    source = Source(list(rows), [16, 40, 55])
    spoil(source.all)
    with pytest.raises(ProofFailed, match="is not whole"):
        take(source, store)
    assert verify(sorted(folder.rglob("*.jsonl"))).whole
    with pytest.raises(ProofFailed):
        take(source, InFile(tmp_path / "a.jsonl"))
    assert verify([tmp_path / "a.jsonl"]).last in (16, 40)


def test_a_checkpoint_of_a_stranger_exports_nothing(folder, store):
    source = Source(plain(10), [10], signer=new_signer())
    with pytest.raises(ProofFailed, match="none of the authorities"):
        take(source, store)
    assert list(folder.rglob("*.jsonl")) == []


def test_what_somebody_else_put_there_is_a_conflict(folder, store):
    rows = plain(10)
    FolderStore(folder).put_new(f"{PROJECT}/2027-01-15/000000000001-000000000010.jsonl", b"x")
    with pytest.raises(Conflict, match="something else is kept"):
        take(Source(rows, [10]), store)


def test_one_file_grows_and_is_verified_with_its_checkpoints(tmp_path):
    file, beside = tmp_path / "a.jsonl", tmp_path / "a.jsonl.checkpoints"
    rows = plain(60, step=HOUR)
    assert take(Source(rows[:30], [16, 30]), InFile(file)).last == 30
    assert take(Source(rows, [16, 30, 40]), InFile(file)).first == 31
    assert take(Source(rows, [16, 30, 40]), InFile(file)).last == 0
    found = verify([file], checkpoint.read(beside), [SIGNER.public_key])
    assert (found.whole, found.rows, found.covered) == (True, 40, 40)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", [1, 30, 200, 2000])
def test_a_file_whose_last_write_was_not_finished_goes_on_at_its_checkpoint(tmp_path, cut):
    file = tmp_path / "a.jsonl"
    rows = plain(40)
    take(Source(rows[:20], [20]), InFile(file))
    whole = file.read_bytes()
    rest = segment.lines(rows[20:])
    file.write_bytes(whole + rest[:cut])
    take(Source(rows, [20, 40]), InFile(file))
    assert file.read_bytes() == whole + rest


def test_a_file_that_is_not_ours_is_never_written_over(tmp_path):
    rows = plain(20)
    file = tmp_path / "a.jsonl"
    file.write_text("my thesis\n")
    with pytest.raises(UsageError):
        take(Source(rows, [20]), InFile(file))
    assert file.read_text() == "my thesis\n"
    write(file, plain(3, project="prj_b"), project="prj_b")
    with pytest.raises(Conflict, match="it holds rows of prj_b"):
        take(Source(rows, [20]), InFile(file))
    file.unlink()
    take(Source(rows, [20]), InFile(file))
    data = file.read_bytes()
    for broken in (data[:300], re.sub(rb'"hash":"..(\w{62})"}\n$', rb'"hash":"00\1"}\n', data)):
        file.write_bytes(broken)
        with pytest.raises(Conflict, match="is not the one that"):
            take(Source(rows, [20]), InFile(file))
        assert file.read_bytes() == broken


def test_a_full_disk_is_told_and_leaves_whole_lines(tmp_path):
    target = InFile(tmp_path / "none" / "a.jsonl")
    (tmp_path / "none").write_text("")
    with pytest.raises(OstiaryError):
        take(Source(plain(5), [5]), target)
