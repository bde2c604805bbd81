"""What a person has in ~/.ssh/config of the time before us, or for every host, does not get between ssh and our servers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from client_world import LOGIN, Person

WEB1 = "Host web1\n"
EVERY = "Host *\n"
OLD_LINES = [
    WEB1 + "HostName 192.0.2.1\nUser bob\nPort 2222\n",
    WEB1 + "ProxyJump jump.invalid\n",
    EVERY + "IdentitiesOnly yes\nIdentityFile ~/.ssh/id_ed25519\n",
    EVERY + "PubkeyAuthentication no\nPreferredAuthentications password\n",
    EVERY + "KnownHostsCommand /bin/false\nStrictHostKeyChecking no\n",
    EVERY + "ControlMaster auto\nControlPath ~/.ssh/%C\nControlPersist 60\n",
    EVERY + "CanonicalizeHostname always\nCanonicalDomains example.com\n",
    EVERY + "ProxyUseFdpass no\nProxyCommand /bin/false\n",
    EVERY + "AddressFamily inet6\nBindAddress 192.0.2.1\nCheckHostIP yes\n",
]


@pytest.fixture
def web1(peer, host, person):
    one = host("web1", "srv_1")
    peer.servers = [one.entry("web1")]
    person.sign_in(peer)
    return one


@pytest.fixture
def odd():
    """A folder with a short path: sockets have no room for more."""
    with tempfile.TemporaryDirectory(prefix="a 100% ", dir="/tmp") as folder:
        yield Path(folder)


def test_folders_with_odd_names_are_found_also_by_a_hop(peer, host, odd):
    person = Person(odd / "home")
    bastion, web1 = host("bastion", "srv_b"), host("web1", "srv_1")
    peer.servers = [bastion.entry("bastion"), web1.entry("web1", bastion="bastion")]
    person.sign_in(peer)
    try:
        done = person.ssh("web1", "id -un")
    finally:
        person.sign_out()
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{LOGIN}\n", ""), web1.log


@pytest.mark.parametrize("lines", OLD_LINES, ids=lambda lines: lines.split()[2])
def test_lines_of_the_persons_own_do_not_get_in_between(person, web1, lines):
    config = person.config()
    config.write_text(config.read_text() + lines)
    done = person.ssh("web1", "id -un")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{LOGIN}\n", ""), web1.log
