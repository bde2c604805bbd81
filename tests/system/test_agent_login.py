"""Skeleton."""

from __future__ import annotations

import pytest
from host_control import Peer, Person, admin
from hosts import Fleet

pytestmark = pytest.mark.root


def test_a_host_enrols_and_a_certificate_opens_one_connection(tmp_path):
    with Fleet(["web1"]) as fleet:
        host = fleet["web1"]
        host.start_sshd()
        peer = Peer(fleet, tmp_path)
        try:
            server_id = peer.enroll(host)
            peer.state(server_id, admin(server_id=server_id))
            print(host.agent("once").stderr)
            person = Person(fleet, tmp_path)
            certificate = person.certificate(peer.user, f"alice@{server_id}")
            done = person.ssh(host, certificate, "id -un; sudo -n id -un")
            assert (done.returncode, done.stdout) == (0, "alice\nroot\n"), host.sshd_log
            assert person.ssh(host, certificate, "true").returncode == 254
            print(host.agent("once").stderr)
            print(host.agent("status").stdout)
            print(peer.reports)
        finally:
            peer.close()
