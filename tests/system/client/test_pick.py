"""A person at a terminal picks a server: by its number, or by letters until one is left."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from client_world import LOGIN

SECONDS = 30.0


class Terminal:
    """``ostiary ssh`` on a terminal of its own; ``seen`` is what it showed."""

    def __init__(self, person, *words):
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [
                *("env", "--default-signal=INT"),  # which whoever runs the tests may ignore
                *("setsid", "--ctty", "--wait"),
                *(sys.executable, "-P", "-m", "ostiary", "ssh", *words),
            ],
            env={**person.environ, "TERM": "dumb", "COLUMNS": "150", "NO_COLOR": "1"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.seen = ""

    def answer(self, text):
        """Type it at the question that comes next."""
        self.until_asked()
        self.seen += "\n"
        os.write(self._ours, text.encode())

    def until_asked(self):
        self._until(lambda: self.seen.endswith("letters): "))

    def end(self):
        """Exit code. The terminal stays open until then: its end would be a signal of its own."""
        self._until(lambda: self._process.poll() is not None)
        self._until(lambda: False)
        code = self._process.wait(SECONDS)
        os.close(self._ours)
        return code

    def interrupted(self):
        """Exit code after Ctrl-C, pressed again as people do: Python misses one between its prompt and its waiting."""
        end = time.monotonic() + SECONDS
        while self._process.poll() is None and time.monotonic() < end:
            os.write(self._ours, b"\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
        return self.end()

    def _until(self, there):
        end = time.monotonic() + SECONDS
        while not there():
            assert time.monotonic() < end, self.seen
            ready, _, _ = select.select([self._ours], [], [], 0.1)
            try:
                part = os.read(self._ours, 65536) if ready else b""
            except OSError:  # EIO: nobody has it open any more
                self._process.wait(SECONDS)
                return
            self.seen += part.decode().replace("\r\n", "\n")


@pytest.fixture
def servers(peer, host, person):
    """Two that can be entered, and a score of others beside them."""
    web = {name: host(name, f"srv_{name}") for name in ("web1", "web2")}
    peer.servers = [one.entry(name) for name, one in web.items()]
    peer.servers += [web["web1"].entry(f"other{number}", project="lab") for number in range(25)]
    person.sign_in(peer)
    person.environ["OSTIARY_CONTROL"] = peer.url
    return web


@pytest.mark.parametrize("answer", ["2", "web2", "b2"])
def test_a_number_or_letters_pick_one(person, servers, answer):
    terminal = Terminal(person, "we", "echo in")
    terminal.answer("7\n")
    terminal.answer(f"{answer}\n")
    assert terminal.end() == 0, terminal.seen
    assert "none of these is like 7" in terminal.seen
    assert terminal.seen.endswith("in\n")
    assert "Accepted publickey" in servers["web2"].log
    assert "Accepted publickey" not in servers["web1"].log


def test_letters_leave_fewer_until_one_is_left(person, servers):
    terminal = Terminal(person, "e", "echo in")
    terminal.answer("other\n")
    assert "and 7 more" in terminal.seen
    terminal.answer("er2\n")
    terminal.until_asked()
    assert terminal.interrupted() == 130
    assert re.search(r"letters\): [\^C\n]*\nostiary: interrupted", terminal.seen)
    assert [one for one in terminal.seen.splitlines() if " other23 " in one]
    assert not any("Accepted" in one.log for one in servers.values())


def test_where_nobody_is_asked_the_projects_tell_those_of_one_name_apart(peer, person, servers):
    peer.servers.append(servers["web2"].entry("web1", project="lab"))
    refused = person.ostiary("ssh", "web1", "true")
    assert refused.returncode == 6
    assert "it is like 2 of them: web1 of lab, web1 of prod" in refused.stderr


@pytest.mark.parametrize(
    "field",
    [{"server_id": "-oKnownHostsCommand=touch pwned"}, {"name": "-Fweb9"}, {"address": "-x"}],
)
def test_a_hostile_control_plane_gives_ssh_no_option(peer, person, servers, field):
    """Ids and names become words of the command line of ssh."""
    hostile = replace(servers["web1"].entry("web9", project="lab"), server_id="srv_9")
    peer.servers.append(replace(hostile, **field))
    refused = person.ostiary("ssh", "web9", "true")
    assert refused.returncode == 5, refused.stderr
    assert "left out: 1 server whose name" in refused.stderr
    assert "web9" not in person.ostiary("servers", "list", "--json").stdout
    assert not any("Accepted" in one.log for one in servers.values())


def test_what_stands_behind_the_server_goes_to_ssh_as_it_is(person, servers):
    done = person.ostiary("ssh", "web2", "echo", "--help", "--json", "-h")
    assert (done.returncode, done.stdout) == (0, "--help --json -h\n"), done.stderr
    before = person.ostiary("ssh", "-L", "8080:127.0.0.1:80", "web1")
    assert before.returncode == 2
    assert "what is for ssh stands behind the server" in before.stderr


def test_a_login_may_be_named_as_ssh_does(person, servers):
    assert person.ostiary("ssh", f"{LOGIN}@web2", "echo in").stdout == "in\n"
    assert "cannot enter web2 as bob" in person.ostiary("ssh", "bob@web2", "echo in").stderr


def test_without_a_server_any_is_meant(person, servers):
    nobody_asked = person.ostiary("ssh")
    assert nobody_asked.returncode == 6
    assert "cannot tell which server\n  why: you may enter other0, " in nobody_asked.stderr
    terminal = Terminal(person)
    terminal.answer("web\n")
    terminal.until_asked()
    assert terminal.interrupted() == 130
