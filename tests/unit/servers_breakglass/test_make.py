"""An authority made by command: shares in files or one at a time on a terminal, and nothing half-made."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from ostiary.cli import run
from ostiary.doors.servers.breakglass import shares as splitting

OSTIARY = Path(sys.executable).with_name("ostiary")
TREE = {name: os.environ.get(name, "") for name in ("PATH", "PYTHONPATH")}
MAKE = ("servers", "breakglass", "make", "--project", "prod", "--shares", "3", "--threshold", "2")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("OSTIARY_CONTROL", "OSTIARY_CONTROL_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "shares"


def test_each_share_is_a_file_of_its_own(folder, capsys):
    assert run([*MAKE, "--out", str(folder), "--no-register"]) == 0
    out = capsys.readouterr().out
    files = sorted(folder.iterdir())
    assert [one.name for one in files] == [f"prod-share-{n}-of-3.txt" for n in (1, 2, 3)]
    assert [one.stat().st_mode & 0o777 for one in (folder, *files)] == [0o700, *[0o600] * 3]
    read = [splitting.parse(one.read_text(), one.name) for one in files]
    assert splitting.join(read[1:]).public_key.text() in out
    assert not any(" ".join(one.words.split()[:4]) in out for one in read)
    assert [one.of for one in read] == [3, 3, 3]


def test_one_file_that_is_there_already_keeps_all_from_being_written(folder, capsys):
    folder.mkdir()
    (folder / "prod-share-2-of-3.txt").write_text("somebody's")
    assert run([*MAKE, "--out", str(folder), "--no-register"]) == 2
    assert "it is there already" in capsys.readouterr().err
    assert [one.name for one in folder.iterdir()] == ["prod-share-2-of-3.txt"]
    assert (folder / "prod-share-2-of-3.txt").read_text() == "somebody's"


def test_where_it_cannot_be_registered_the_shares_stay_and_the_way_on_is_said(folder, capsys):
    assert run([*MAKE, "--out", str(folder)]) == 2
    err = capsys.readouterr().err
    assert len(list(folder.iterdir())) == 3
    assert "the shares are made, but hosts do not trust SHA256:" in err
    assert re.search(
        r"fix: run: ostiary servers breakglass register --project prod 'ssh-ed25519 ", err
    )


def test_without_a_terminal_nothing_is_shown(folder, capsys):
    assert run([*MAKE, "--no-register"]) == 2
    told = capsys.readouterr()
    assert "add --out FOLDER" in told.err
    assert "words" not in told.out + told.err


def test_numbers_that_make_no_quorum_are_refused(folder, capsys):
    assert run([*MAKE[:-1], "1", "--out", str(folder), "--no-register"]) == 2
    assert "from 2 to all of them can be needed" in capsys.readouterr().err
    assert not folder.exists()


def test_on_a_terminal_one_is_shown_after_the_other_and_wiped(tmp_path):
    ours, theirs = pty.openpty()
    env = {**TREE, "HOME": str(tmp_path), "TERM": "xterm"}
    argv = [OSTIARY, *MAKE, "--no-register"]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as running:
        try:
            os.close(theirs)
            shown = [seen(ours, f"share {n} of 3: press a key") for n in (1, 2, 3)]
            rest = seen(ours, None)
            assert running.wait(10) == 0
        finally:
            running.kill()
            os.close(ours)
    read = [splitting.parse(text.replace("\r", ""), "screen") for text in map(plain, shown)]
    assert [one.number for one in read] == [1, 2, 3]
    assert splitting.join(read).public_key.text() in rest.replace("\r", "")
    for text in (*shown[1:], rest):
        assert "\x1b[2J\x1b[3J\x1b[H" in text, "the screen and what was scrolled off it are cleared"
    assert not any(" ".join(one.words.split()[:4]) in rest for one in read)
    assert list(tmp_path.iterdir()) == []


def test_who_breaks_off_is_shown_no_other_and_leaves_none_on_the_screen(tmp_path):
    ours, theirs = pty.openpty()
    env = {**TREE, "HOME": str(tmp_path), "TERM": "xterm"}
    argv = ["setsid", "--ctty", "--wait", OSTIARY, *MAKE, "--no-register"]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as running:
        try:
            os.close(theirs)
            seen(ours, "share 1 of 3: press a key")
            rest = seen(ours, None, key=b"\x03")
            assert running.wait(10) == 130
        finally:
            running.kill()
            os.close(ours)
    assert "Share 2" not in rest
    assert "ssh-ed25519" not in rest
    assert plain(rest).split() == ["ostiary:", "interrupted"]


def plain(text):
    """What stands on the screen."""
    return text.rpartition("\x1b[H")[2]


def seen(terminal, until, key=b" "):
    """What comes until the text; until the end for None. A key is pressed until something comes of it."""
    text = ""
    for _ in range(50):
        if not select.select([terminal], [], [], 0.3)[0]:
            os.write(terminal, key)  # one that comes before the program reads keys is thrown away
            continue
        try:
            part = os.read(terminal, 65536).decode()
        except OSError:
            return text
        text += part
        if until and until in text:
            return text
    raise AssertionError(f"nothing more came: {text[-200:]}")
