"""The server of the demo as a host in namespaces, where the agent does all of its work: accounts, sudo, sshd, PAM.

It changes nothing of the machine: what is written goes to memory, and is gone with the host.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ostiary.cli.demo_sshd import LABEL, NAME, PATHS, Host, free_port, program, run, running
from ostiary.errors import OstiaryError

TOOLS = ("unshare", "nsenter", "useradd", "usermod", "groupadd", "visudo", "ssh-keygen")

# $1 scratch folder, $2 port. Overlays start as this machine's folders; what is written goes to memory. Its sshd is told as
# little as Debian's is, so that nothing of this machine's own matters.
SET_UP = """
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
rm -f /etc/ssh/ssh_host_* /etc/ssh/sshd_config.d/* /run/nologin
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key -C root@web1
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


@contextlib.contextmanager
def whole(folder: Path, url: str, token: str) -> Iterator[Host | None]:
    """An enrolled host of its own, running; None where this user, the kernel or a container does not let us.

    OstiaryError where the agent could not bring it in line.
    """
    folder.mkdir()
    port = free_port()
    with _namespaces(folder, port) as pid:
        if not pid:
            yield None
            return
        with _agent(pid, port, url, token, folder / "sshd.log") as host:
            yield host


@contextlib.contextmanager
def _namespaces(folder: Path, port: int) -> Iterator[int]:
    """The first process of a host of its own; 0 where this user, the kernel or a container does not let us."""
    if os.geteuid() != 0 or not all(shutil.which(tool, path=PATHS) for tool in TOOLS):
        yield 0
        return
    scratch = folder / "scratch"
    scratch.mkdir()
    flags = ["--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
    process = subprocess.Popen(  # noqa: S603 - the script is above
        [program("unshare"), *flags, "sh", "-c", SET_UP, "host", str(scratch), str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PATH": PATHS},
    )
    try:
        assert process.stdout
        ready = process.stdout.readline() == "ready\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        yield int(children.read_text("ascii").split()[0]) if ready else 0
    finally:
        process.communicate()  # the end of its input is the host's end


@contextlib.contextmanager
def _agent(pid: int, port: int, url: str, token: str, log: Path) -> Iterator[Host]:
    inside = [program("nsenter"), f"--target={pid}", "--mount", "--uts", "--pid", "--"]
    agent = [*inside, sys.executable, "-P", "-m", "ostiary.doors.servers.agent"]
    with running([*inside, program("sshd"), "-D", "-e"], port, log):
        where = ["--name", NAME, "--address", "127.0.0.1", "--port", str(port)]
        options = ["--url", url, "--token-file", "-", *where, "--label", f"role={LABEL}"]
        said = run([*agent, "enroll", *options], stdin=token)
        _brought_in_line([*agent, "once"])
        told = "the agent made the account, its sudo rights, sshd's trust and the PAM hook"
        yield Host(said.split()[0], port, "", once=True, told=told)


def _brought_in_line(command: list[str]) -> None:
    """Twice, where need be: an sshd of a busy machine may answer too late for the first."""
    try:
        run(command)
    except OstiaryError:
        run(command)
