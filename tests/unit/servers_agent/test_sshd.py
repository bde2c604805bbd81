"""Which of the processes that are called sshd is the one that listens."""

import os
import shutil
import subprocess
import sys

import pytest

from ostiary.doors.servers.agent.sshd_listeners import is_listener, listeners


@pytest.mark.parametrize(
    "line",
    [
        b"/usr/sbin/sshd",
        b"/usr/sbin/sshd -D",
        b"/usr/sbin/sshd -D -E /var/log/sshd.log",
        b"sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups",
    ],
)
def test_the_one_that_listens(line):
    assert is_listener(line.split())


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"/usr/sbin/sshd -T -f /etc/ssh/sshd_config -C user=root",
        b"/usr/sbin/sshd -t",
        b"/usr/sbin/sshd -i",
        b"/usr/sbin/sshd -D -R",
        b"sshd: [accepted]",
        b"sshd: ada [priv]",
        b"sshd: ada@pts/0",
        b"sshd: [accepted] [listener]",
    ],
)
def test_checks_of_files_and_connections_do_not_listen(line):
    """Each of them would be ended by the signal that makes a listening one read its files."""
    assert not is_listener(line.split())


FORKING = "import os, sys; os.fork(); print(os.getpid(), flush=True); sys.stdin.read()"


@pytest.mark.root
def test_who_serves_a_connection_is_none_also_before_it_says_so(tmp_path):
    """sshd forks for a connection, and only then gives the child another name: its signal would end that connection."""
    title = "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"
    with subprocess.Popen(
        [title, "-c", FORKING],
        executable=shutil.copy(os.path.realpath(sys.executable), tmp_path / "sshd"),
        env={"PYTHONHOME": sys.base_prefix},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        both = {int(process.stdout.readline()) for _ in range(2)}
        assert process.pid in both
        assert both & {one.pid for one in listeners(tmp_path)} == {process.pid}
        process.stdin.close()
