"""The shell that tells our certificates from all others without an interpreter, and the lines of PAM that run it."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ssh_world import PLAIN, Keys

from ostiary.doors.servers.agent import guard
from ostiary.pki import ssh_certificate
from ostiary.pki.ssh_certificate import Certificate

PASSED, ASKED = 0, 3


@given(st.binary(max_size=40), st.binary(min_size=51, max_size=120), st.binary(max_size=40))
def test_a_pattern_matches_wherever_the_key_begins(before, key, after):
    text = base64.b64encode(before + key + after).decode()
    assert any(one in text for one in guard.patterns(base64.b64encode(key).decode()))


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def judge(tmp_path):
    """``judge(authorities, auth_info)``: how the script ends, with an interpreter that only says that it was asked."""

    def judge(authorities, info, stage="open_session"):
        asked = tmp_path / "asked"
        asked.write_text(f"#!/bin/sh\nexit {ASKED}\n")
        asked.chmod(0o755)
        script = tmp_path / "session"
        text = guard.script(authorities, str(asked), Path("/hook"), Path("/var"), Path("/keys"))
        script.write_text(text)
        script.chmod(0o755)
        env = {"PAM_TYPE": stage} | ({} if info is None else {"SSH_AUTH_INFO_0": info})
        return subprocess.run([script], env=env, check=False).returncode

    return judge


@pytest.mark.parametrize("kind", PLAIN)
def test_a_certificate_of_ours_is_asked_about_and_no_other(judge, keys, kind):
    ours, other = keys.public(kind).text(), Keys(Path()).public("ssh-ed25519").text()
    for length in range(3):  # the place of the authority's key shifts with what is before it
        unsigned = Certificate(keys.public("ssh-ed25519"), "x" * length, ("a@b",))
        made = ssh_certificate.sign(unsigned, keys.signer(kind))
        info = f"publickey {ssh_certificate.to_text(made)}\n"
        assert judge([ours], info) == ASKED
        assert judge([other, ours], info) == ASKED
        assert judge([other], info) == PASSED


@pytest.mark.parametrize(
    "info", [None, "", "password", "publickey ssh-ed25519 AAAA", "$(exit 9)", "`exit 9`", "*", "x" * 100_000]
)  # fmt: skip
def test_everything_else_passes(judge, keys, info):
    assert judge([keys.public("ssh-ed25519").text()], info) == PASSED
    assert judge([], info) == PASSED


def test_a_plain_key_that_is_the_authoritys_own_is_asked_about(judge, keys):
    """It is no certificate, so the hook refuses it; nobody signs in with the key of an authority."""
    ours = keys.public("ssh-ed25519").text()
    assert judge([ours], f"publickey {ours}") == ASKED


def test_missing_interpreter_is_a_refusal_of_ours_only(tmp_path, keys):
    script = tmp_path / "session"
    ours = keys.public("ssh-ed25519").text()
    text = guard.script([ours], "/no/python", Path("/hook"), Path("/var"), Path("/keys"))
    script.write_text(text)
    for info, code in ((f"publickey {ours}", 127), ("password", 0)):
        env = {"PAM_TYPE": "open_session", "SSH_AUTH_INFO_0": info}
        argv = ["sh", script]
        done = subprocess.run(argv, env=env, check=False, stderr=subprocess.DEVNULL)
        assert done.returncode == code


PAM = "#%PAM-1.0\nauth include x\n@include common-session\nsession optional pam_motd.so\n"


def test_pam_lines_come_first_once_and_go_without_a_trace():
    path = Path("/etc/ssh/ostiary/session")
    hooked = guard.with_hook(PAM, path)
    assert hooked.startswith(guard.MARK)
    assert hooked.endswith(PAM)
    assert guard.with_hook(hooked, path) == hooked
    assert guard.without_hook(hooked) == PAM
    assert guard.without_hook(PAM) == PAM
    assert guard.counts(hooked, path)
    assert not guard.counts(PAM, path)
    assert not guard.counts(PAM + hooked, path)  # something may run before it
    assert not guard.counts(hooked.replace("default=die", "default=ignore"), path)
    assert not guard.counts(hooked, Path("/elsewhere"))
    moved = guard.with_hook(hooked, Path("/elsewhere"))
    assert moved.count(guard.MARK) == 1
    assert guard.without_hook(hooked.replace(guard.END + "\n", "")) == PAM
    assert "/etc/ssh" not in moved
