"""Which of the processes that are called sshd is the one that listens."""

import pytest

from ostiary.doors.servers.agent.sshd_listeners import is_listener


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
        b"sshd: [accepted]",
        b"sshd: ada [priv]",
        b"sshd: ada@pts/0",
        b"sshd: [accepted] [listener]",
    ],
)
def test_checks_of_files_and_connections_do_not_listen(line):
    """Each of them would be ended by the signal that makes a listening one read its files."""
    assert not is_listener(line.split())
