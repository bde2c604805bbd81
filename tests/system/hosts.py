"""Hosts that are real enough to be let loose on: namespaces over this machine's own files, none of which changes.

``with Fleet(["bastion", "web1"]) as fleet: fleet["web1"].run(["useradd", "alice"])``. Each host has mounts, processes, network
and name of its own: /etc, /var and /usr/local are overlays that start as this machine's, /home, /root, /run and /tmp are empty
(but for pyenv's Pythons, read-only), host keys and machine id are new. Two networks, outer and inner; a host named in ``behind`` is on the inner one only, a host that
others are behind is on both, everybody else is on the outer one. ``fleet.control`` (CONTROL) is on both, ``fleet.client``
on the outer one only: these two are networks without files of their own, for whatever a test runs in them.

Root only. Everything ends with the ``with``, or with this process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import pytest
from hosts_namespace import ENV, PYTHON, TOP, Host, Namespace, start_host, start_network, wait_for
from hosts_net import Relay, listening

__all__ = [
    "CLIENT",
    "CONTROL",
    "CONTROL_INNER",
    "ENV",
    "PYTHON",
    "TOP",
    "Fleet",
    "Host",
    "wait_for",
]

CONTROL, CONTROL_INNER, CLIENT = "10.99.0.1", "10.99.1.1", "10.99.0.2"


class Fleet:
    """The hosts by name, in a ``with``. ``behind`` names hosts and the bastion through which alone clients reach them."""

    def __init__(self, names: Sequence[str], behind: Mapping[str, str] | None = None) -> None:
        self.names, self.behind = list(names), dict(behind or {})
        self.hosts: dict[str, Host] = {}
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            text = "not run: needs root for namespaces"
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(text)
        with contextlib.ExitStack() as ending:
            scratch = Path(tempfile.mkdtemp(prefix="ostiary-hosts-", dir="/tmp"))
            ending.callback(shutil.rmtree, scratch, ignore_errors=True)
            self.control = start_network("control", CONTROL, ending)
            self.client = start_network("client", CLIENT, ending)
            starting = {name: start_host(name, scratch / name, ending) for name in self.names}
            self._bridges()
            for number, (name, process) in enumerate(starting.items(), start=11):
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n", f"{name} did not come up"
                subnet = 1 if name in self.behind else 0
                host = self.hosts[name] = Host(name, f"10.99.{subnet}.{number}", process)
                ending.callback(host.end)
                self._join(host, f"outer{subnet}", host.address)
                if name in self.behind.values():
                    self._join(host, "outer1", f"10.99.1.{number}")
            self._name_everybody()
            self._ending = ending.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def __iter__(self) -> Iterator[Host]:
        return iter(self.hosts.values())

    def listener(self, port: int = 0, address: str = "") -> object:
        """A listening TCP socket on the control plane's network, for a server in this process."""
        return listening(self.control.pid, address, port)

    def relay(self, inside: Namespace, port: int, *, inward: bool = False, address="127.0.0.1"):
        """Pass connections on until the end, one network's port to the same port of the other's loopback.

        Outward (as given): this machine's loopback -> ``address`` within ``inside``. With ``inward``: ``address`` within
        ``inside`` -> this machine's loopback.
        """
        relay = Relay(inside.pid, address, port, inward=inward)
        self._ending.callback(relay.close)
        return relay

    def cut(self, host: Host, *, off: bool = True) -> None:
        """Take the host's network away, or give it back."""
        host.run(["ip", "link", "set", "eth0", "down" if off else "up"])

    def _bridges(self) -> None:
        for subnet, address in ((0, CONTROL), (1, CONTROL_INNER)):
            bridge = f"outer{subnet}"
            self.control.run(["ip", "link", "add", bridge, "type", "bridge"])
            self.control.run(["ip", "address", "add", f"{address}/24", "dev", bridge])
            self.control.run(["ip", "link", "set", bridge, "up"])
        self._join(self.client, "outer0", CLIENT)

    def _join(self, one: Namespace, bridge: str, address: str) -> None:
        end, inside = f"{one.name[:10]}.{bridge[-1]}", "eth0" if one.address == address else "eth1"
        peer = ["peer", "name", inside, "netns", str(one.pid)]
        self.control.run(["ip", "link", "add", end, "type", "veth", *peer])
        self.control.run(["ip", "link", "set", end, "master", bridge, "up"])
        one.run(["ip", "address", "add", f"{address}/24", "dev", inside])
        one.run(["ip", "link", "set", inside, "up"])
        one.run(["ip", "link", "set", "lo", "up"])

    def _name_everybody(self) -> None:
        for host in self:
            control = CONTROL_INNER if host.name in self.behind else CONTROL
            lines = ["127.0.0.1 localhost", f"{control} control"]
            lines += [f"{one.address} {one.name}" for one in self]
            host.write("/etc/hosts", "\n".join(lines) + "\n")
