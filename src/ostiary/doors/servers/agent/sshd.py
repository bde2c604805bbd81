"""The sshd of this host: what it makes of a configuration, and how it is told to read it again.

Source: sshd(8): ``-t`` checks, ``-T -C`` prints what holds for a user, SIGHUP makes the listening process start anew with
its own arguments. Established sessions go on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ostiary.doors.servers.agent.files import HostError
from ostiary.doors.servers.agent.run import LATE, PATH, SECONDS, attempt
from ostiary.doors.servers.agent.sshd_listeners import Listener, listeners

ANSWER_SECONDS = 5
# For all looks at other sshds together: what one was told to read may be on a disk that hangs.
OTHERS_SECONDS = 10.0
UNITS = ("ssh.service", "sshd.service")  # Debian and Ubuntu; Red Hat and Amazon Linux


class Late(HostError):
    """sshd said nothing in time: what it would say is not known."""


def program() -> str:
    found = shutil.which("sshd", path=PATH)
    if found is None:
        raise HostError("no sshd is installed here")
    return found


def fault(config: Path) -> str:
    """What sshd has against this main file, or ""."""
    code, _, complaint = attempt(program(), "-t", "-f", str(config))
    return complaint or f"sshd -t ended with {code}" if code else ""


def effective(
    config: Path, user: str, told: Sequence[str] = (), seconds: float = SECONDS
) -> Mapping[str, Sequence[str]]:
    """What holds for ``user``: keyword in small letters -> its values, one for each line. HostError if sshd refuses, Late
    if it says nothing within ``seconds``.

    ``told`` are options of a command line; a file among them is read in place of ``config``.
    """
    where = f"user={user},host=localhost,addr=127.0.0.1"
    found: dict[str, list[str]] = {}
    argv = (program(), "-T", "-f", str(config), *told, "-C", where)
    code, out, complaint = attempt(*argv, seconds=seconds)
    if code == LATE:
        raise Late(f"sshd does not say what holds for {user}", why=complaint)
    if code:
        fix = "run: ssh-keygen -A" if "no hostkeys available" in complaint else ""
        why = complaint or f"it ended with {code} and said nothing"
        raise HostError(f"sshd does not say what holds for {user}", why=why, fix=fix)
    for line in filter(None, out.decode("utf-8", "replace").split("\n")):
        name, _, value = line.partition(" ")
        found.setdefault(name.lower(), []).append(value)
    return found


def listening(settings: Mapping[str, Sequence[str]]) -> list[Listener]:
    """The processes that listen here: the one of its PidFile first."""
    named = set()
    for name in settings.get("pidfile", ()):
        with contextlib.suppress(OSError, ValueError):
            named.add(int(Path(name).read_text()))
    return sorted(listeners(), key=lambda one: one.pid not in named)


def answers(settings: Mapping[str, Sequence[str]], seconds: float = ANSWER_SECONDS) -> bool:
    """Whether a greeting comes on one of its addresses within that time."""
    end = time.monotonic() + seconds
    while True:
        if any(_greets(address) for address in settings.get("listenaddress", ())):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.05)


def _greets(address: str) -> bool:
    host, _, port = address.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104 - nothing is bound
    try:
        with socket.create_connection((host, int(port)), timeout=2) as connection:
            return connection.recv(8).startswith(b"SSH-2.0")
    except (OSError, ValueError):
        return False


def reload(settings: Mapping[str, Sequence[str]]) -> bool:
    """Have each of them read its files again; false if none answered afterwards. Nothing where none runs.

    One that would refuse its files, told as it was, is let be: it would end. So is one that does not say in time.
    """
    there = listening(settings)
    share = OTHERS_SECONDS / max(len(there) - 1, 1)
    for number, one in enumerate(there):
        if number and attempt(program(), "-t", *one.told, seconds=share)[0]:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGHUP)
    if not there:
        return True
    time.sleep(0.1)  # the old sockets are closed by then
    return answers(settings)


def start_again(settings: Mapping[str, Sequence[str]]) -> bool:
    """Bring back one that has died: by systemd where it runs, else as sshd starts by itself."""
    if listening(settings) and answers(settings, 0):
        return True
    if Path("/run/systemd/system").is_dir():
        for unit in UNITS:
            if attempt("systemctl", "restart", unit)[0] == 0:
                break
    else:
        subprocess.Popen([program()], env={"PATH": PATH}, start_new_session=True).wait()  # noqa: S603 - our own list
    return answers(settings)
