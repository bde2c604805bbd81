from __future__ import annotations

import subprocess

import pytest
from ssh_world import Keys, Sshd, program

from ostiary.doors.servers.breakglass import shares as splitting


@pytest.fixture(scope="session")
def three_of_five():
    return splitting.make("prod", 3, 5)


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def sshd(tmp_path, keys):
    return Sshd(tmp_path, keys)


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """The real ssh-agent, in front, with a socket of its own."""
    place = tmp_path / "agent.sock"
    running = subprocess.Popen(
        [program("ssh-agent"), "-D", "-a", str(place)], stdout=subprocess.PIPE, text=True
    )
    running.stdout.readline()  # it says its socket once it listens
    monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
    yield place
    running.terminate()
    running.wait(5)
    running.stdout.close()
