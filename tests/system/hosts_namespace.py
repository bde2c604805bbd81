"""One host, or one network: a process that holds namespaces, and how to run something in them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"  # the distribution's own, as on a host
ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
SECONDS = 60
OVERLAID = ("/etc", "/var", "/usr/local")
# Pythons that root has at home, which a host hides otherwise: the one of these tests, and others to try the agent by.
PYTHONS = [
    str(one)
    for one in sorted({Path(sys.base_prefix), *Path.home().glob(".pyenv/versions/*")})
    if one.is_relative_to(ENV["HOME"])
]

# $1 name, $2 scratch folder. The last line is the host's first process: it ends with this process's end of the pipe, and all
# others with it; who outlives his parent is left to the kernel.
SET_UP = """
set -e
mount --make-rprivate /
for one in $OVERLAID; do
  mkdir -p "$2$one/upper" "$2$one/work"
  mount -t overlay overlay -o "lowerdir=$one,upperdir=$2$one/upper,workdir=$2$one/work" "$one"
done
mount --bind "$TOP" /mnt
mkdir -p "$2/home" "$2/root"
mount --bind "$2/home" /home
for one in $PYTHONS; do
  mkdir -p "$2$one"
  mount --bind "$one" "$2$one"
  mount -o remount,bind,ro "$2$one"
done
mount --rbind "$2/root" /root
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
if ! [ -d "$TOP/src" ]; then
  mkdir -p "$TOP"
  mount --bind /mnt "$TOP"
fi
umount /mnt
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
        self.pid = child_of(process.pid) if "--pid" in self.kinds else process.pid

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
        # The soft limit of a service of systemd: pam_exec closes every descriptor up to it, for each program of a login.
        argv = ["prlimit", "--nofile=1024:", "/usr/sbin/sshd", "-D", "-E", "/var/log/sshd.log"]
        argv += options
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


def wait_for(ready, what: str, seconds: float = 30.0) -> None:
    """Until ``ready()`` is true; fails the test with ``what`` when that takes too long."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            pytest.fail(f"{what} was not ready after {seconds} s")
        time.sleep(0.02)


def start_network(name: str, address: str, ending: contextlib.ExitStack) -> Namespace:
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


def start_host(name: str, scratch: Path, ending: contextlib.ExitStack) -> subprocess.Popen[str]:
    flags = ["--mount", "--net", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
    process = subprocess.Popen(
        ["unshare", *flags, "sh", "-c", SET_UP, "host", name, str(scratch)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **ENV,
            "OVERLAID": " ".join(OVERLAID),
            "PYTHONS": " ".join(PYTHONS),
            "TOP": str(TOP),
        },
    )
    ending.callback(process.communicate)  # closes its stdin first
    return process


def child_of(pid: int) -> int:
    """The one child of a process: with ``unshare --fork`` the first process of the new namespace."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
