"""C13: whatever was done to an exported audit is found; the tail against a checkpoint kept elsewhere."""

import json
from dataclasses import replace

import pytest
from audit_files import PROJECT, new_signer, plain, rows_of, sign, write

from ostiary.cli import run
from ostiary.doors.servers.audit import checkpoint
from ostiary.doors.servers.audit.verify import verify
from ostiary.doors.servers.control.chain import Head, row_hash
from ostiary.errors import NotFound, UsageError

SIGNER = new_signer()


@pytest.fixture
def rows():
    return plain(10)


def hashed_anew(rows, first):
    """What a forger does who knows how rows are hashed: every hash from ``first`` (an index) on is put right."""
    before = rows[first - 1].hash
    made = list(rows[:first])
    for row in rows[first:]:
        before = row_hash(before, row.project_id, str(row.number), row.time, row.event, row.body)
        made.append(replace(row, hash=before))
    return made


def changed(rows):
    return [*rows[:4], replace(rows[4], body=rows[4].body.replace("4", "5")), *rows[5:]]


DONE_TO_IT = {
    "changed": (changed, "row 5 is not what was written"),
    "time changed": (lambda r: [*r[:4], replace(r[4], time=r[3].time), *r[5:]], "row 5 is not"),
    "removed": (lambda r: r[:4] + r[5:], "row 5 is missing: 6 follows 4"),
    "swapped": (lambda r: [*r[:4], r[5], r[4], *r[6:]], "row 5 is missing: 6 follows 4"),
    "numbers swapped too": (
        lambda r: [*r[:4], replace(r[5], number=5), replace(r[4], number=6), *r[6:]],
        "row 5 is not what was written",
    ),
    "added": (lambda r: [*r[:4], r[3], *r[4:]], "row 5 is missing: 4 follows 4"),
    "first removed": (lambda r: r[1:], "row 1 is missing: 2 follows 0"),
    "hash changed": (lambda r: [*r[:4], replace(r[4], hash="0" * 64), *r[5:]], "row 5 is not"),
    "hash no hex": (lambda r: [*r[:4], replace(r[4], hash="x"), *r[5:]], "row 5 is not"),
}


@pytest.mark.parametrize("name", DONE_TO_IT)
def test_what_was_done_to_rows_is_found_without_a_checkpoint(tmp_path, rows, name):
    do, what = DONE_TO_IT[name]
    assert verify([write(tmp_path / "a.jsonl", rows)]).whole
    found = verify([write(tmp_path / "a.jsonl", do(rows))])
    assert any(what in fault for fault in found.faults), found.faults


@pytest.mark.parametrize(
    ("do", "what"),
    [
        (lambda r: r[:-1], "rows 10 to 10 are missing at the end"),
        (lambda r: r[:3], "rows 4 to 10 are missing at the end"),
        (lambda r: [], "rows 1 to 10 are missing at the end"),
        (lambda r: hashed_anew(changed(r), 4), "row 10 is not the one that was signed"),
    ],
)
def test_a_cut_tail_and_a_chain_written_anew_are_found_by_a_checkpoint(tmp_path, rows, do, what):
    file = write(tmp_path / "a.jsonl", do(rows))
    assert verify([file]).whole, "nothing within the file shows it"
    assert verify([file], [sign(SIGNER, rows[-1])], [SIGNER.public_key]).faults == (what,)


def test_a_checkpoint_is_believed_for_its_signature_alone(tmp_path, rows):
    file = write(tmp_path / "a.jsonl", rows)
    good = sign(SIGNER, rows[6])
    found = verify([file], [good], [SIGNER.public_key])
    assert (found.whole, found.covered, found.trusted) == (True, 7, True)
    assert found.signers == (SIGNER.public_key.fingerprint,)
    other = sign(new_signer(), rows[6])
    assert verify([file], [other]).whole
    assert not verify([file], [other]).trusted
    forged = (
        other,
        replace(good, number=8),
        replace(good, hash=rows[7].hash),
        replace(good, time=rows[7].time),
        replace(good, signature=other.signature),
        replace(good, signature=""),
        replace(good, project_id="prj_b"),
    )
    for one in forged:
        assert len(verify([file], [one], [SIGNER.public_key]).faults) == 1, one
    twice = replace(rows[6], hash="1" * 64)
    found = verify([file], [good, sign(SIGNER, twice)], [SIGNER.public_key])
    assert "checkpoint 7 was signed for two chains" in found.faults


def test_day_files_are_one_chain_and_each_is_bound_by_its_checkpoint(tmp_path, rows):
    def day(name, part, after):
        return write(tmp_path / name, part, Head(after.number, after.hash))

    first = write(tmp_path / "1", rows[:4])
    second, third = day("2", rows[4:7], rows[3]), day("3", rows[7:], rows[6])
    whole = verify([third, first, second])
    assert (whole.whole, whole.first, whole.last, whole.rows) == (True, 1, 10, 10)
    assert verify([first, third]).faults == ("row 5 is missing: 8 follows 4",)
    alone = verify([second], [sign(SIGNER, rows[6])])
    assert (alone.whole, alone.first, alone.covered) == (True, 5, 7)
    forged = hashed_anew(changed(rows), 4)
    lying = day("4", forged[5:7], forged[4])
    assert verify([lying]).whole
    assert verify([lying], [sign(SIGNER, rows[6])]).faults == (
        "row 7 is not the one that was signed",
    )
    assert verify([first, second, lying]).faults


def test_lines_that_are_no_rows_are_told(tmp_path, rows):
    file = write(tmp_path / "a.jsonl", rows)
    data = file.read_bytes()
    for broken in (
        data[:-20],
        data[:-1],
        data.replace(b'"event"', b'"tnevt"', 1),
        data + b"\n",
        data.replace(b'"number":5', b'"number":"5"'),
    ):
        file.write_bytes(broken)
        assert not verify([file]).whole
    file.write_bytes(
        data.replace(b'"prj_aa', b'"prj_ba').replace(b'audit":"prj_b', b'audit":"prj_a')
    )
    assert "row 1 is of another project" in verify([file]).faults


def test_a_line_that_readers_may_take_for_two_rows_is_told(tmp_path, rows):
    """The first of two members is what people see, and many parsers; the hash is of the last."""
    file = write(tmp_path / "a.jsonl", rows)
    data = file.read_bytes()
    _, line, *_ = data.splitlines(keepends=True)
    twice = line.replace(b'"event":"x"', b'"event":"y","body":"{}","event":"x"')
    for other in (twice, line.replace(b'":', b'": ', 1), line.replace(b'"x"', b'"\\u0078"')):
        assert other != line
        file.write_bytes(data.replace(line, other))
        found = verify([file])
        assert found.rows == len(rows)
        assert found.faults == (
            "line 2 of a.jsonl is not as row 1 is written: what it says depends on who reads it",
        )
    file.write_bytes(data.replace(b'"audit":', b'"audit":"prj_other","audit":', 1))
    with pytest.raises(UsageError, match="first line"):
        verify([file])


def test_what_is_no_audit_is_a_usage_error(tmp_path, rows):
    file = write(tmp_path / "a.jsonl", rows)
    for text in (b"", b"{}\n", b"hello\n", file.read_bytes().split(b"\n", 1)[1]):
        (tmp_path / "b").write_bytes(text)
        with pytest.raises(UsageError):
            verify([tmp_path / "b"])
    with pytest.raises(UsageError, match="projects"):
        verify([file, write(tmp_path / "b", plain(2, project="prj_b"), project="prj_b")])
    with pytest.raises(NotFound):
        verify([tmp_path / "none"])


def test_many_faults_are_told_to_a_bound_and_all_rows_are_counted(tmp_path):
    rows = [replace(row, body="{}") for row in plain(100)]
    found = verify([write(tmp_path / "a", rows)])
    assert (len(found.faults), found.rows, found.last) == (20, 100, 100)


def test_the_command_exits_by_what_it_found(tmp_path, rows, capsys):
    file = write(tmp_path / "a.jsonl", rows)
    keys, signed = tmp_path / "keys", tmp_path / "checkpoints"
    keys.write_text(f"# host authority\n@cert-authority * {SIGNER.public_key.text()}\n")
    signed.write_bytes(
        checkpoint.line(sign(SIGNER, rows[3])) + checkpoint.line(sign(SIGNER, rows[8]))
    )
    options = ("--checkpoint", str(signed), "--authority", str(keys))
    assert run(["audit", "verify", str(file), *options]) == 0
    out = capsys.readouterr().out
    assert f"{PROJECT}: rows 1 to 10, whole" in out
    assert f"checkpoint 9 is signed by {SIGNER.public_key.fingerprint}\n1 row after it has" in out
    assert run(["audit", "verify", str(file)]) == 0
    assert "a tail that was cut would not show" in capsys.readouterr().out
    write(file, changed(rows)[:8])
    assert run(["audit", "verify", str(file), *options]) == 11
    err = capsys.readouterr().err
    assert "why: row 5 is not what was written\n       rows 9 to 9 are missing at the end" in err
    assert run(["audit", "verify", "--json", str(file)]) == 11
    assert json.loads(capsys.readouterr().out)["whole"] is False
    assert run(["audit", "verify", str(tmp_path / "none")]) == 5


def test_a_checkpoint_file_whose_last_line_was_cut_off_still_serves(tmp_path, rows):
    text = checkpoint.line(sign(SIGNER, rows[3])) + checkpoint.line(sign(SIGNER, rows[8]))
    (tmp_path / "c").write_bytes(text[:-30])
    assert [one.number for one in checkpoint.read(tmp_path / "c")] == [4]
    (tmp_path / "c").write_bytes(text.replace(b"{", b"", 1))
    with pytest.raises(UsageError):
        list(checkpoint.read(tmp_path / "c"))


def test_rows_with_other_words_have_other_hashes():
    one, other = rows_of([("ab", {})]), rows_of([("a", {})])
    assert one[0].hash != other[0].hash


def test_a_folder_of_checkpoints_stands_for_each_file_in_it(tmp_path, rows):
    """As a copy of a bucket is: one object for each."""
    kept = tmp_path / "copy" / "checkpoints"
    kept.mkdir(parents=True)
    for index in (3, 9):
        (kept / f"{index + 1:012}").write_bytes(checkpoint.line(sign(SIGNER, rows[index])))
    found = [one for path in checkpoint.files_in([kept.parent]) for one in checkpoint.read(path)]
    assert [one.number for one in found] == [4, 10]
    assert "rows 10 to 10 are missing at the end" in " ".join(
        verify([write(tmp_path / "cut.jsonl", rows[:9])], found).faults
    )
    (tmp_path / "none").mkdir()
    with pytest.raises(NotFound, match="cannot find a checkpoint in"):
        list(checkpoint.files_in([tmp_path / "none"]))
