"""The hosts of the tests are what they claim: apart from this machine and from each other, and gone at the end."""

from __future__ import annotations

import pwd
import socket
from pathlib import Path

import pytest
from hosts import CONTROL, Fleet
from hosts_net import connected, listening

pytestmark = pytest.mark.root


def test_hosts_are_apart_and_end_with_the_fleet():
    with Fleet(["bastion", "web1", "web2"], behind={"web1": "bastion"}) as fleet:
        bastion, web1, web2 = fleet
        for host in fleet:
            host.run(["useradd", "-m", host.name])
            host.start_sshd()
        assert len({host.host_key for host in fleet}) == 3
        assert web1.read("/etc/passwd").splitlines()[-1].startswith("web1:")
        assert "web1:" not in web2.read("/etc/passwd")
        assert web1.run(["ls", "/home"]).stdout == "web1\n"

        def scans(namespace, host):
            return namespace.run(["ssh-keyscan", "-T1", host.address], check=False).stdout != ""

        assert scans(bastion, web1)
        assert scans(fleet.control, web1)
        assert scans(fleet.client, web2)
        assert not scans(fleet.client, web1)
        fleet.cut(web2)
        assert not scans(fleet.client, web2)
        fleet.cut(web2, off=False)
        web2.stop_sshd()
        pids = [host.pid for host in fleet]
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    for name in ("bastion", "web1", "web2"):
        with pytest.raises(KeyError):
            pwd.getpwnam(name)


def test_a_relay_joins_two_networks_and_a_listener_is_where_the_hosts_reach_it():
    with Fleet(["web1"]) as fleet:
        with socket.create_server(("127.0.0.1", 0)) as here:
            fleet.relay(fleet.control, here.getsockname()[1], inward=True, address=CONTROL)
            with connected(fleet["web1"].pid, CONTROL, here.getsockname()[1]) as out:
                out.sendall(b"inward")
                conversation, _ = here.accept()
                with conversation:
                    assert conversation.recv(6) == b"inward"
        with listening(fleet.client.pid, "127.0.0.1", 0) as there:
            relay = fleet.relay(fleet.client, there.getsockname()[1])
            with socket.create_connection(("127.0.0.1", relay.port)) as out:
                conversation, _ = there.accept()
                with conversation:
                    conversation.sendall(b"outward")
                    assert out.recv(7) == b"outward"
        with (
            fleet.listener() as listener,
            connected(fleet["web1"].pid, CONTROL, listener.getsockname()[1]),
        ):
            listener.accept()[0].close()
