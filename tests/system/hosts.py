"""Hosts that are real enough to be let loose on: namespaces over this machine's own files, none of which changes.

``with Fleet(["bastion", "web1"]) as fleet: fleet["web1"].run(["useradd", "alice"])``. Each host has mounts, processes, network
and name of its own: /etc, /var, /root and /usr/local are overlays that start as this machine's, /home, /run and /tmp are empty,
host keys and machine id are new. Two networks, outer and inner; a host named in ``behind`` is on the inner one only, a host that
others are behind is on both, everybody else is on the outer one. ``fleet.control`` (CONTROL) is on both, ``fleet.client``
on the outer one only: these two are networks without files of their own, for whatever a test runs in them.

Root only. Everything ends with the ``with``, or with this process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import pytest
from hosts_net import Relay, listening

TOP = Path(__file__).resolve().parents[2]
CONTROL, CONTROL_INNER, CLIENT = "10.99.0.1", "10.99.1.1", "10.99.0.2"
PYTHON = "/usr/bin/python3"  # the distribution's own, as on a host
ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
SECONDS = 60
OVERLAID = ("/etc", "/var", "/root", "/usr/local")

# $1 name, $2 scratch folder. The last line is the host's first process: it ends with this process's end of the pipe, and all
# others with it; who outlives his parent is left to the kernel.
SET_UP = """
set -e
mount --make-rprivate /
for one in $OVERLAID; do
  mkdir -p "$2$one/upper" "$2$one/work"
  mount -t overlay overlay -o "lowerdir=$one,upperdir=$2$one/upper,workdir=$2$one/work" "$one"
done
mkdir "$2/home"
mount --bind "$2/home" /home
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
mkdir -p /run/sshd /run/lock /run/user
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts /dev/pts
hostname "$1"
echo "$1" > /etc/hostname
rm -f /etc/ssh/ssh_host_* /run/nologin
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key -C "root@$1"
tr -d - < /proc/sys/kernel/random/uuid > /etc/machine-id
echo ready
trap '' CHLD
exec cat
"""


class Namespace:
    """Where commands run. ``pid`` is its first process, as this machine counts."""

    kinds: tuple[str, ...] = ("--net",)
    folder: str | None = None  # where commands start; this process's own unless told

    def __init__(self, name: str, address: str, process: subprocess.Popen[str]) -> None:
        self.name, self.address, self._process = name, address, process
        self.pid = _child(process.pid) if "--pid" in self.kinds else process.pid

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """``argv`` as it is to be run from outside, for whoever starts processes in another way."""
        return ["nsenter", f"--target={self.pid}", *self.kinds, "--", *map(str, argv)]

    def popen(self, argv: Sequence[str | Path], **options) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(argv), **{"text": True, "env": ENV, "cwd": self.folder} | options
        )

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        stdin: str = "",
        check: bool = True,
        seconds: float = SECONDS,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run to its end. With ``check``, anything but 0 fails the test with what was said."""
        done = subprocess.run(
            self.command(argv),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**ENV, **(env or {})},
            cwd=self.folder,
            check=False,
        )
        if check and done.returncode:
            said = f"{done.stdout}{done.stderr}"
            pytest.fail(f"{self.name}: {list(map(str, argv))} ended with {done.returncode}: {said}")
        return done

    def end(self) -> None:
        self._process.communicate()


class Host(Namespace):
    """A host. ``root`` is its / seen from outside: ``(host.root / "etc/passwd").read_text()``."""

    kinds = ("--mount", "--net", "--uts", "--pid")
    folder = "/"

    def __init__(self, name: str, address: str, process: subprocess.Popen[str]) -> None:
        super().__init__(name, address, process)
        self.root = Path(f"/proc/{self.pid}/root")
        self._sshd: subprocess.Popen[str] | None = None

    @property
    def host_key(self) -> str:
        """Its public host key in authorized_keys form, without comment."""
        text = (self.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
        return " ".join(text.split()[:2])

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        there = self.root / path.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text)
        there.chmod(mode)

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()

    def start_sshd(self, *options: str) -> None:
        """Debian's sshd with the host's own configuration and PAM; its log is ``sshd_log``."""
        self.stop_sshd()
        argv = ["/usr/sbin/sshd", "-D", "-E", "/var/log/sshd.log", *options]
        self._sshd = self.popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
        wait_for((self.root / "run/sshd.pid").exists, f"sshd of {self.name}")

    def stop_sshd(self) -> None:
        if self._sshd is not None:
            with contextlib.suppress(FileNotFoundError):
                pid = self.read("/run/sshd.pid").strip()
                self.run(["kill", pid], check=False)
                (self.root / "run/sshd.pid").unlink(missing_ok=True)
            self._sshd.wait(SECONDS)
            self._sshd = None

    def end(self) -> None:
        super().end()
        if self._sshd is not None:
            self._sshd.wait(SECONDS)

    @property
    def sshd_log(self) -> str:
        return self.read("/var/log/sshd.log")

    def agent(self, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
        """The agent of this tree under the distribution's Python."""
        env = {"PYTHONPATH": str(TOP / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        argv = [PYTHON, "-m", "ostiary.doors.servers.agent", *arguments]
        return self.run(argv, env={**env, **options.pop("env", {})}, **options)


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
            self.control = _network("control", CONTROL, ending)
            self.client = _network("client", CLIENT, ending)
            starting = {name: _start_host(name, scratch / name, ending) for name in self.names}
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


def wait_for(ready, what: str, seconds: float = 10.0) -> None:
    """Until ``ready()`` is true; fails the test with ``what`` when that takes too long."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            pytest.fail(f"{what} was not ready after {seconds} s")
        time.sleep(0.02)


def _network(name: str, address: str, ending: contextlib.ExitStack) -> Namespace:
    process = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && echo ready && exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    made = Namespace(name, address, process)
    ending.callback(made.end)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return made


def _start_host(name: str, scratch: Path, ending: contextlib.ExitStack) -> subprocess.Popen[str]:
    flags = ["--mount", "--net", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
    process = subprocess.Popen(
        ["unshare", *flags, "sh", "-c", SET_UP, "host", name, str(scratch)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**ENV, "OVERLAID": " ".join(OVERLAID)},
    )
    ending.callback(process.communicate)  # closes its stdin first
    return process


def _child(pid: int) -> int:
    """The one child of a process: with ``unshare --fork`` the first process of the new namespace."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
