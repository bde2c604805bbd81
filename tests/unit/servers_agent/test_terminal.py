"""What a control plane says reaches root's terminal as text: nothing of it moves the terminal or makes a line of its own."""

import time

import pytest

from ostiary.doors.servers.agent import __main__ as agent
from ostiary.doors.servers.agent import commands, identity
from ostiary.doors.servers.agent import state as states
from ostiary.doors.servers.agent.control import Refused
from ostiary.doors.servers.agent.files import Paths
from ostiary.doors.servers.agent.identity import Identity
from ostiary.doors.servers.wire.host import HostState, HostUser
from ostiary.doors.servers.wire.message import encode

EVIL = "\x1b[2J\x1b]0;owned\x07\r\nostiary: fine\x9b31m"
WHO = Identity(f"srv_1{EVIL}", f"prod{EVIL}", "https://c", "web1")
ENROLL = ["enroll", "--url", "https://c", "--token-file", "TOKEN"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command of a host that has ``paths``; what it said, to its last line's end."""
    paths = Paths(*(tmp_path / one for one in ("ssh", "etc", "var", "sudoers", "pam")))
    for one in (paths.ssh, paths.etc, paths.var):
        one.mkdir()
    (tmp_path / "TOKEN").write_text("ostiary_enroll_x\n")
    (tmp_path / "EMPTY").write_text("\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(agent, "Paths", lambda: paths)
    monkeypatch.setattr(agent.os, "geteuid", lambda: 0)
    monkeypatch.setattr(agent.resource, "setrlimit", lambda *_: None)

    def ran(*arguments):
        agent.main(list(arguments))
        out, err = capsys.readouterr()
        return out, err

    ran.paths = paths
    return ran


def assert_lines(said, count):
    lines = said.split("\n")
    assert len(lines) == count + 1
    assert all(line.isprintable() and line.isascii() for line in lines), said


def test_status(run):
    identity.keep(run.paths, WHO)
    users = tuple(HostUser(f"{EVIL}{n}", 60001 + n, 60001 + n, "") for n in range(200))
    held = HostState(1, WHO.server_id, WHO.project, users, (), (), (), "", 30)
    states.keep(
        run.paths.state,
        states.believe(run.paths.state, WHO.server_id, encode(held), (), time.time()),
    )
    out, _ = run("status")
    assert_lines(out, 8)
    assert "fine?31m199\n" in out  # all of them, however many there are


def test_enroll(run, monkeypatch):
    def enrolled(_wanted, _paths, say):
        say(f"warning: {EVIL}")
        return WHO

    monkeypatch.setattr(commands, "enroll", enrolled)
    out, err = run(*ENROLL)
    assert_lines(out, 1)
    assert_lines(err, 2)


def test_a_refusal(run, monkeypatch):
    def refused(*_):
        raise Refused(f"enroll {EVIL}", why=EVIL, fix=EVIL, code="no")

    monkeypatch.setattr(commands, "enroll", refused)
    _, err = run(*ENROLL)
    assert_lines(err, 3)


def test_an_empty_file_is_no_token(run):
    """Without a token it would be an enrollment by cloud identity, and refused as one."""
    _, said = run("enroll", "--url", "https://c", "--token-file", "EMPTY")
    assert said.splitlines()[:2] == [
        "ostiary: error: cannot read the token from EMPTY",
        "  why: it is empty",
    ]
