"""``ostiary login`` holds tokens and a session's key for a while: no other process of the user reads them, and no core."""

import os
import subprocess
import sys
import tempfile

import pytest

# What is true of the process when it first speaks to the control plane; then it ends.
ASKED = """
import ctypes, resource, sys
from ostiary.cli import root
from ostiary.doors.servers.client.control_api import Control
def call(*_, **__):
    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))
    sys.exit()
Control.call = call
root(["login", "--control", "http://127.0.0.1:1", *sys.argv[1:]])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2)")
@pytest.mark.parametrize("words", [(), ("--machine", "robot", "--token-file", "token")])
def test_who_signs_in_is_closed_to_others(tmp_path, words):
    (tmp_path / "token").write_text("token")
    named = {"HOME": "", "XDG_CONFIG_HOME": "config"}
    environ = {**os.environ, **{name: str(tmp_path / one) for name, one in named.items()}}
    argv = [sys.executable, "-c", ASKED, *words]
    with tempfile.TemporaryDirectory() as run:  # its sockets have short paths
        environ["XDG_RUNTIME_DIR"] = run
        done = subprocess.run(
            argv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
    assert (done.stdout, done.stderr) == ("0 0 0\n", "")
