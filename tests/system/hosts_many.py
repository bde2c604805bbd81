"""Many servers within one host: each has /etc/ssh, /var/lib/ostiary and an address of its own, and its own agent keeps both.

Run as root of a host of ``hosts.py``, where an agent made the LocalUsers and changed PAM already (sshd itself is off):

    hosts_many.py enroll URL CA_FILE FIRST END   a token on stdin; each agent enrols, asks, applies and reports once
    hosts_many.py serve                          starts the sshd of the server whose address is connected to, until killed
    hosts_many.py report FIRST END               each agent reports what its sshd let in

Everything here but the namespaces is the product's own agent. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from ostiary.doors.servers.agent import enroll, identity
from ostiary.doors.servers.agent.files import HostError, Paths
from ostiary.doors.servers.agent.loop import Agent

NETWORK = "10.98.0.0/16"
SERVERS = Path("/var/servers")  # on the host's disk, as the real ones would be
SSH, VAR = Path("/etc/ssh"), Path("/var/lib/ostiary")
AT_ONCE = 8
CLONE_NEWNS, MS_BIND = 0x20000, 4096
_libc = ctypes.CDLL(None, use_errno=True)


def name_of(number: int) -> str:
    return f"server-{number}"


def address_of(number: int) -> str:
    return f"10.98.{number // 250}.{number % 250 + 1}"


def number_of(address: str) -> int:
    third, fourth = address.split(".")[2:]
    return int(third) * 250 + int(fourth) - 1


def main(arguments: Sequence[str]) -> int:
    do, *given = arguments
    if do == "serve":
        serve()
        return 0
    if do == "enroll":
        url, ca_file, first, end = given
        token = sys.stdin.read().strip()
        return of_each(int(first), int(end), lambda number: joined(number, url, ca_file, token))
    first, end = given
    return of_each(int(first), int(end), lambda _: rounds())


def of_each(first: int, end: int, work: Callable[[int], None]) -> int:
    """``work`` within each server, a few at once; how many failed."""
    children = [
        forked(lambda turn=turn: one_by_one(range(first + turn, end, AT_ONCE), work))
        for turn in range(AT_ONCE)
    ]
    return sum(os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) for one in children)


def one_by_one(numbers: range, work: Callable[[int], None]) -> int:
    failed = 0
    for number in numbers:
        make_folders(number)
        child = forked(lambda number=number: within(number, work))
        failed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    return failed


def forked(work: Callable[[], int]) -> int:
    """The id of a child that ends with what ``work`` gives."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = work()
    except BaseException:  # noqa: BLE001 - a child must not go on with its parent's work
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def within(number: int, work: Callable[[int], None]) -> int:
    enter(number)
    work(number)
    return 0


def enter(number: int) -> None:
    """See the files of this server where a host has its own."""
    if _libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    for own, there in ((folder_of(number) / "ssh", SSH), (folder_of(number) / "var", VAR)):
        if _libc.mount(bytes(own), bytes(there), None, MS_BIND, None):
            raise OSError(ctypes.get_errno(), f"mount {own}")


def folder_of(number: int) -> Path:
    return SERVERS / str(number)


def make_folders(number: int) -> None:
    """As this host was installed, with a host key of its own; twice is as once."""
    place = folder_of(number)
    if place.exists():
        return
    own = shutil.ignore_patterns("ssh_host_*", "ostiary")
    shutil.copytree(SSH, place / "ssh", ignore=own)
    (place / "var").mkdir(mode=0o700)
    shutil.copy2(VAR / "owned.json", place / "var")
    key = place / "ssh/ssh_host_ed25519_key"
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name_of(number), "-f", str(key)]
    subprocess.run(argv, check=True)


def joined(number: int, url: str, ca_file: str, token: str) -> None:
    """Enrol, and make this server as it should be. HostError with all that is not."""
    name, address = name_of(number), address_of(number)
    wanted = enroll.Wanted(url=url, token=token, name=name, address=address, ca_file=ca_file)
    made = enroll.enroll(wanted, Paths(), complain)
    rounds()
    sys.stdout.write(f"{name} {made.server_id}\n")
    sys.stdout.flush()


def complain(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def rounds() -> None:
    """What ``ostiary agent once`` does."""
    problems: list[str] = []
    Agent(identity.read(Paths()), Paths(), problems.append).round(0)
    if problems:
        raise HostError("; ".join(problems))


def serve() -> None:
    """One sshd a connection, as by a socket of systemd's; ``cutime`` of this process is what all of them took."""
    signal.signal(signal.SIGCHLD, reap)
    with socket.create_server(("0.0.0.0", 22), backlog=512) as listener:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            with connection:
                forked(lambda end=connection: become_sshd(end))


def become_sshd(connection: socket.socket) -> int:
    address = connection.getsockname()[0]
    number = number_of(address)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    enter(number)
    os.dup2(connection.fileno(), 0)
    os.dup2(connection.fileno(), 1)
    log = str(folder_of(number) / "log")
    os.execv("/usr/sbin/sshd", ["/usr/sbin/sshd", "-i", "-E", log])


def reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
