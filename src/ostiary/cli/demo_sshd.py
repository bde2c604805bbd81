"""An sshd of the demo, and other programs of this machine: started, awaited, ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ostiary.errors import OstiaryError, Unreachable

PATHS = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"
NAME, LABEL = "web1", "web"  # of the demo's server; the label is its role
SECONDS = 20


@dataclass(frozen=True, slots=True)
class Host:
    """An enrolled server. ``account`` is who is entered on it, "" for the person's own LocalUser.

    ``once`` says whether its hook counts uses, ``told`` what was done there.
    """

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


def program(name: str) -> str:
    return shutil.which(name, path=PATHS) or name


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """An sshd in a process group of its own, once it answers. Unreachable with its own words when it does not."""
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603 - a list of ours, no shell
            command, stdin=subprocess.DEVNULL, stderr=stream, start_new_session=True, cwd="/"
        )
    try:
        _wait(process, port, log)
        yield
    finally:
        _end(process)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    said = log.read_text("utf-8", "replace").strip().splitlines() or ["it did not answer"]
    raise Unreachable("cannot start an sshd", why=said[-1], fix="apt-get install openssh-server")


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS)
            return


def run(command: list[str], *, stdin: str = "") -> str:
    """What a command said. OstiaryError with its words when it failed."""
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
