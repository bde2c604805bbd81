"""The server of the demo: a host in namespaces where this user may make one, else a private sshd. Neither changes the machine.

In namespaces the agent does all of its work: accounts, sudo, sshd, PAM. A private sshd runs as who runs the demo, whose own
account stands in for the LocalUser; it has no PAM, so nothing keeps a certificate to one use.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ostiary.errors import OstiaryError, Unreachable

PATHS = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"
NAME, LABEL = "web1", "web"
SECONDS = 20
WHOLE = ("unshare", "nsenter", "useradd", "usermod", "groupadd", "visudo", "ssh-keygen")

# $1 scratch folder, $2 port. Overlays start as this machine's folders; what is written goes to memory. Its sshd is told as
# little as Debian's is, so that nothing of this machine's own matters.
_SET_UP = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 scratch "$1"
for one in /etc /var /home /root; do
  mkdir -p "$1$one/upper" "$1$one/work"
  mount -t overlay overlay -o "lowerdir=$one,upperdir=$1$one/upper,workdir=$1$one/work" "$one"
done
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/sshd /run/lock /run/user
hostname web1
rm -f /etc/ssh/ssh_host_* /run/nologin
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key -C root@web1
rm -f /etc/ssh/sshd_config.d/*
cat > /etc/ssh/sshd_config <<END
Include /etc/ssh/sshd_config.d/*.conf
Port $2
ListenAddress 127.0.0.1
KbdInteractiveAuthentication no
UsePAM yes
Subsystem sftp internal-sftp
END
tr -d - < /proc/sys/kernel/random/uuid > /etc/machine-id
echo ready
trap '' CHLD
exec cat
"""


@dataclass(frozen=True, slots=True)
class Host:
    """``account`` is who is entered on it, "" for the person's own LocalUser; ``once`` says whether its hook counts uses."""

    server_id: str
    port: int
    account: str
    once: bool
    told: str


def lacking() -> str:
    """The command that installs what any form of the act needs; "" when it is there."""
    for tool, package in (("ssh", "openssh-client"), ("sshd", "openssh-server")):
        if not shutil.which(tool, path=PATHS):
            return f"apt-get install {package}"
    return ""


@contextlib.contextmanager
def host(folder: Path, url: str, token: str) -> Iterator[Host]:
    """An enrolled server, running. ``token`` is an enrollment token."""
    folder.mkdir()
    port = free_port()
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(_namespaces(folder, port)) if _may_all() else None
        if process is not None:
            yield stack.enter_context(_whole(process, url, token, port))
            return
        yield stack.enter_context(_private(folder, url, token, port))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _may_all() -> bool:
    return os.geteuid() == 0 and all(shutil.which(tool, path=PATHS) for tool in WHOLE)


@contextlib.contextmanager
def _namespaces(folder: Path, port: int) -> Iterator[int | None]:
    """The first process of a host of its own; None where the kernel or a container does not let us."""
    scratch = folder / "scratch"
    scratch.mkdir()
    flags = ["--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
    process = subprocess.Popen(  # noqa: S603 - the script is above
        ["unshare", *flags, "sh", "-c", _SET_UP, "host", str(scratch), str(port)],  # noqa: S607 - looked for in PATHS
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PATH": PATHS},
    )
    try:
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            yield None
            return
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii")
        yield int(children.split()[0])
    finally:
        process.communicate()  # the end of its input is the host's end


@contextlib.contextmanager
def _whole(pid: int, url: str, token: str, port: int) -> Iterator[Host]:
    inside = ["nsenter", f"--target={pid}", "--mount", "--uts", "--pid", "--"]
    sshd = _start([*inside, "/usr/sbin/sshd", "-D", "-e"], port)  # fmt: skip
    agent = [*inside, sys.executable, "-P", "-m", "ostiary.doors.servers.agent"]
    try:
        where = ["--name", NAME, "--address", "127.0.0.1", "--port", str(port)]
        options = ["--url", url, "--token-file", "-", *where, "--label", f"role={LABEL}"]
        said = _run([*agent, "enroll", *options], stdin=token)
        _run([*agent, "once"])
        told = "the agent made the account, its sudo rights, sshd's trust and the PAM hook"
        yield Host(said.split()[0], port, "", once=True, told=told)
    finally:
        _end(sshd)


@contextlib.contextmanager
def _private(folder: Path, url: str, token: str, port: int) -> Iterator[Host]:
    """Only the parts of the agent that need no root: identity, host certificate, trust, principals."""
    from ostiary.doors.servers.agent import host_certificate, principals, reconcile, trust  # noqa: PLC0415
    from ostiary.doors.servers.agent.control import Control  # noqa: PLC0415
    from ostiary.doors.servers.agent.enroll import Wanted, enroll  # noqa: PLC0415
    from ostiary.doors.servers.agent.files import Paths  # noqa: PLC0415
    from ostiary.doors.servers.wire.host import HostState  # noqa: PLC0415
    from ostiary.doors.servers.wire.message import decode  # noqa: PLC0415

    paths = Paths(
        folder / "ssh", folder / "etc", folder / "var", folder / "sudoers", folder / "pam"
    )
    paths.ssh.mkdir()
    _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(paths.host_key)])
    asked = Wanted(url, token, NAME, "127.0.0.1", port, labels={"role": LABEL})
    enrolled = enroll(asked, paths)
    path = "/v1/hosts/state?generation=0&wait=0"
    answer = Control(url, paths).call("GET", path, server_id=enrolled.server_id)
    state = decode(HostState, answer.body)
    trust.bring_in_line(state, paths, sys.executable, reconcile.hook_text())
    host_certificate.bring_in_line(state, paths)
    principals.bring_in_line(state.users, paths, {})
    config = folder / "sshd_config"
    config.write_text(_config(paths.host_key, {
        "TrustedUserCAKeys": paths.authorities,
        "HostCertificate": paths.host_certificate,
        "AuthorizedPrincipalsFile": paths.principals / state.users[0].login,
    }))  # fmt: skip
    sshd = _start([shutil.which("sshd", path=PATHS) or "sshd", "-D", "-e", "-p", str(port), "-f", str(config)], port)  # fmt: skip
    try:
        told = "a private sshd of this user; accounts, sudo and the hook that keeps a certificate to one use need root"
        yield Host(enrolled.server_id, port, getpass.getuser(), once=False, told=told)
    finally:
        _end(sshd)


def _config(host_key: Path, more: Mapping[str, Path]) -> str:
    lines = {
        "ListenAddress": "127.0.0.1",
        "HostKey": host_key,
        "AuthorizedKeysFile": "none",
        "UsePAM": "no",
        "PidFile": "none",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        **more,
    }
    return "".join(f'{name} "{value}"\n' for name, value in lines.items())


def _start(command: list[str], port: int) -> subprocess.Popen[str]:
    """Start an sshd in a group of its own and wait until it answers. Unreachable with its own words when it does not."""
    process = subprocess.Popen(  # noqa: S603 - a list of ours, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd="/",
    )
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process
        time.sleep(0.02)
    process.kill()
    _, said = process.communicate()
    why = said.strip().splitlines()[-1:] or ["it did not answer"]
    raise Unreachable("cannot start an sshd", why=why[0], fix="apt-get install openssh-server")


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _run(command: list[str], *, stdin: str = "") -> str:
    """What a command said. OstiaryError with its last words when it failed."""
    done = subprocess.run(  # noqa: S603 - as above
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
        env={"PATH": PATHS, "HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if done.returncode:
        why = done.stderr.strip() or f"it ended with {done.returncode}"
        raise OstiaryError(f"cannot run {Path(command[0]).name} for the demo's server", why=why)
    return done.stdout
