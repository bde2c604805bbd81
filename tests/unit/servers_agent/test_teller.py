"""Break-glass is told of, and nothing that goes wrong in the telling keeps it out or makes it wait."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from ssh_world import Keys

from ostiary.doors.servers.agent import guard, hook, spool
from ostiary.doors.servers.agent.files import Paths
from ostiary.pki import ssh_certificate
from ostiary.pki.ssh_certificate import Certificate

AUTHORITIES = {"ours": "ssh-ed25519", "glass": "ecdsa-sha2-nistp256"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def paths(tmp_path):
    return Paths(var=tmp_path)


@pytest.fixture
def log_in(tmp_path, keys):
    """``log_in(by)``: how the script ends, and after how long, for a certificate of that authority."""

    def log_in(by, interpreter=sys.executable, serial=77):
        trusted, script = tmp_path / "trusted", tmp_path / "session-told"
        glass = keys.public(AUTHORITIES["glass"]).text()
        trusted.write_text(f"# ours\n{glass}\n")
        text = guard.teller([glass], str(interpreter), Path(hook.__file__), tmp_path, trusted)
        script.write_text(text)
        unsigned = Certificate(keys.public("ssh-ed25519"), "x", ("a@b",), serial=serial)
        made = ssh_certificate.sign(unsigned, keys.signer(AUTHORITIES[by]))
        env = {
            "SSH_AUTH_INFO_0": f"publickey {ssh_certificate.to_text(made)}\n",
            "PAM_TYPE": "open_session",
            "PAM_USER": "ada",
            "PAM_RHOST": "203.0.113.7",
        }
        began = time.monotonic()
        code = subprocess.run(["sh", script], env=env, check=False).returncode
        return code, time.monotonic() - began

    return log_in


def told(paths, seconds=20.0):
    """What the agent would ship, as soon as there is something whole."""
    end = time.monotonic() + seconds
    while not (paths.spool.exists() and paths.spool.read_bytes()) and time.monotonic() < end:
        time.sleep(0.02)
    return [
        (one.serial, one.login, one.source, one.outcome) for one in spool.Spool(paths).take()[0]
    ]


def test_a_login_by_break_glass_is_an_event(log_in, paths):
    assert log_in("glass")[0] == 0
    assert told(paths) == [("77", "ada", "203.0.113.7", "break-glass")]


def test_what_is_no_break_glass_is_not_told(log_in, paths):
    assert log_in("ours")[0] == 0
    assert told(paths, 0.3) == []


@pytest.mark.parametrize("body", [None, "exit 1", "sleep 3"])
def test_nothing_that_is_broken_or_slow_there_is_waited_for(log_in, tmp_path, body):
    interpreter = tmp_path / "python"
    if body:
        interpreter.write_text(f"#!/bin/sh\n{body}\n")
        interpreter.chmod(0o755)
    code, seconds = log_in("glass", interpreter=interpreter)
    assert (code, seconds < 2) == (0, True)


def test_pam_takes_no_notice_of_how_it_ends():
    lines = guard.pam_lines(Path("/etc/ssh/ostiary/session")).splitlines()
    assert (
        lines[-2]
        == "session optional pam_exec.so quiet type=open_session /etc/ssh/ostiary/session-told"
    )
    assert Paths().teller == guard.told_by(Paths().guard)
