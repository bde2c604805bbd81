"""The voice: three lines, results apart from talk, colour only on a terminal that wants it."""

from __future__ import annotations

import io
import json
import signal
import sys
import threading
import types

import click
import pytest

from ostiary import term
from ostiary.cli import COMMANDS, run
from ostiary.errors import Denied, EstateError
from ostiary.plan import render


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_three_lines(capsys):
    term.error(Denied("cannot read x", why="AccessDenied: no\nand more", fix="ask"))
    assert capsys.readouterr().err == (
        "ostiary: error: cannot read x\n  why: AccessDenied: no\n       and more\n  fix: ask\n"
    )


def test_one_problem_is_said_once(capsys):
    term.error(EstateError("cannot use estate e", problems=["e:1: bad"], fix="correct e"))
    assert capsys.readouterr().err == (
        "ostiary: error: cannot use estate e\n  why: e:1: bad\n  fix: correct e\n"
    )


def test_several_problems_are_a_list(capsys):
    term.error(EstateError("cannot use estate e", problems=["e:1: bad", "e:2: worse"]))
    assert capsys.readouterr().err == (
        "ostiary: error: cannot use estate e\n"
        "  why: 2 problems\n       e:1: bad\n       e:2: worse\n"
    )


def test_the_same_as_json(capsys):
    term.error(EstateError("no", problems=["e:1: bad"], fix="correct"), as_json=True)
    said = json.loads(capsys.readouterr().err)
    assert said == {
        "error": "no",
        "why": "e:1: bad",
        "fix": "correct",
        "code": "",
        "problems": ["e:1: bad"],
    }


@pytest.mark.parametrize(
    ("name", "value", "coloured"),
    [("TERM", "xterm", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False)],
)
def test_colour_on_a_terminal_that_wants_it(plain, monkeypatch, name, value, coloured):
    monkeypatch.setenv(name, value)
    assert ("\x1b" in term.paint("x", "red", stream=Terminal())) is coloured
    assert "\x1b" not in term.paint("x", "red", stream=io.StringIO())


HOSTILE = {
    "\x1b]0;title\x07": "?]0;title?",
    "\x1b[2J": "?[2J",
    "\x1b[8mhidden": "?[8mhidden",
    "\x9b1A": "?1A",
    "over\rwritten": "over?written",
    "\u202edne": "?dne",
    "\x1b[1;31mred\x1b[36mcyan\x1b[0m": "\x1b[1;31mred\x1b[36mcyan\x1b[0m",
    "naïve Ω 名 \ttab": "naïve Ω 名 \ttab",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_words_of_others_do_nothing_to_the_terminal(text, capsys):
    term.say(text)
    term.error(Denied(text, why=text, fix=text))
    term.result(text)
    said = capsys.readouterr()
    assert said.out == f"{HOSTILE[text]}\n"
    assert said.err.startswith(f"{HOSTILE[text]}\nostiary: error: {HOSTILE[text]}\n")
    assert said.err.endswith(f"  fix: {HOSTILE[text]}\n")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_program_reads_them_as_they_were(text, capsys):
    term.result_json({"name": text})
    term.error(Denied(text), as_json=True)
    said = capsys.readouterr()
    assert json.loads(said.out) == {"name": text}
    assert json.loads(said.err)["error"] == text
    assert not set(said.out + said.err) & set("\x1b\x9b\x07\r\u202e")


@pytest.mark.parametrize("code", render._COLOURS.values())
def test_the_colours_of_a_plan_stay(code):
    assert term.shown(f"\x1b[{code}m+\x1b[0m") == f"\x1b[{code}m+\x1b[0m"


def test_a_cell_stays_in_its_line():
    assert term.table(("name",), [("web1\nroot",)]) == "name\nweb1?root"


def test_columns_are_as_wide_as_their_widest_cell():
    text = term.table(("a", "long heading", ""), [("wide cell", "x", ""), ("y", "z", "!")])
    assert text.splitlines() == [
        "a          long heading",
        "wide cell  x",
        "y          z             !",
    ]


def test_counted():
    assert [term.counted(n, "account") for n in (0, 1, 2)] == [
        "0 accounts",
        "1 account",
        "2 accounts",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    assert run([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: ostiary {command}")
    assert "-h, --help" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_group_says_of_its_commands_is_not_cut(command, monkeypatch, capsys):
    """At 80 columns, and groups within groups too."""
    monkeypatch.setenv("COLUMNS", "80")
    groups = [[command]]
    while groups:
        words = groups.pop()
        assert run([*words, "--help"]) == 0
        _, _, told = capsys.readouterr().out.partition("\nCommands:\n")
        assert "..." not in told, f"{words}: {told}"
        groups += [[*words, line.split()[0]] for line in told.splitlines() if line[2:3] > " "]


def test_a_defect_has_the_error_form_and_a_way_to_its_traceback(capsys, monkeypatch):
    monkeypatch.setitem(COMMANDS, "broken", ("nowhere:at_all", "A command that is not there"))
    assert run(["broken", "--yes"]) == 1
    assert capsys.readouterr().err == (
        "ostiary: error: this is a defect of ostiary: ModuleNotFoundError\n"
        "  why: No module named 'ostiary.cli.nowhere'\n"
        "  fix: run: ostiary --debug broken --yes\n"
    )
    assert run(["--debug", "broken"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback")
    assert said.endswith("  fix: run: ostiary --debug broken\n")


def test_an_interrupt_between_the_steps_of_a_lock_is_an_interrupt(capsys, monkeypatch):
    """As ``threading.Condition`` has them: it lets go of its lock to wait, and Ctrl-C comes before the wait begins."""

    @click.command
    def waiting():
        lock = threading.Lock()
        with lock:
            lock.release()
            signal.raise_signal(signal.SIGINT)

    module = types.ModuleType("ostiary.cli.waiting")
    module.waiting = waiting
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, "waiting", ("waiting:waiting", "A command that waits"))
    assert run(["waiting"]) == 130
    assert capsys.readouterr().err == "ostiary: interrupted\n"


@pytest.mark.parametrize("value", ["many", "nan", ""])
def test_a_setting_that_is_no_number(capsys, tmp_path, monkeypatch, value):
    monkeypatch.setenv("OSTIARY_WORKERS", value)
    monkeypatch.chdir(tmp_path)
    code = run(["plan"])
    said = capsys.readouterr().err
    if value:
        assert code == 2
        assert said == (
            f"ostiary: error: cannot use OSTIARY_WORKERS={value}\n"
            "  why: it is not a number\n"
            "  fix: unset OSTIARY_WORKERS, or export a number\n"
        )
    else:
        assert "cannot read estate" in said


def test_the_agents_own_exit_code_is_that_of_the_command(capsys):
    assert run(["agent", "enroll", "--url", "https://c", "--token-file", "/nowhere"]) == 1
    assert "cannot read the token" in capsys.readouterr().err


SERVERS = (
    ("name", "may", "through", "labels", "id", ""),
    [
        ("web1", "login,admin", "bastion", "env=prod,role=web", "srv_irx8gdfqked8xjsb", ""),
        ("bastion", "hop", "-", "-", "srv_7f3k2m9qzd5v8ntb", "its clock is +9 s off"),
    ],
)


def on_a_terminal(monkeypatch, columns):
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    return term.table(*SERVERS).splitlines()


def test_a_table_that_has_room_is_one(monkeypatch, plain):
    lines = on_a_terminal(monkeypatch, 100)
    assert lines[0] == "name     may          through  labels             id"
    assert len(lines) == 3


def test_in_a_narrow_terminal_a_row_has_two_lines(monkeypatch, plain):
    assert on_a_terminal(monkeypatch, 60) == [
        "name     may          through  labels",
        "  id",
        "web1     login,admin  bastion  env=prod,role=web",
        "  srv_irx8gdfqked8xjsb",
        "bastion  hop          -        -",
        "  srv_7f3k2m9qzd5v8ntb  its clock is +9 s off",
    ]
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "9")
    text = term.table(("name", "state"), [("web1", "active"), ("web2", "")])
    assert text.splitlines() == ["name", "  state", "web1", "  active", "web2"]


def test_in_one_too_narrow_for_that_every_cell_is_whole_on_a_line_of_its_own(monkeypatch, plain):
    lines = on_a_terminal(monkeypatch, 40)
    assert lines == [
        "web1",
        "  may      login,admin",
        "  through  bastion",
        "  labels   env=prod,role=web",
        "  id       srv_irx8gdfqked8xjsb",
        "bastion",
        "  may      hop",
        "  through  -",
        "  labels   -",
        "  id       srv_7f3k2m9qzd5v8ntb",
        "           its clock is +9 s off",
    ]


def test_off_a_terminal_a_table_stays_one_however_wide(monkeypatch, plain):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert len(term.table(*SERVERS).splitlines()) == 3
