"""Applying accounts and sudo rules on a host of ``hosts.py``, as the agent does, and looking at what became of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hosts import PYTHON, TOP, Host

from ostiary.doors.servers.wire.host import HostGroup, HostState, HostUser
from ostiary.doors.servers.wire.message import encode

FULL = os.environ.get("OSTIARY_CHAOS") == "full"  # every step, in place of a few
OWNED = "/var/lib/ostiary/owned.json"
ENV = {"PYTHONPATH": str(TOP / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
APPLY = f"""
import json, sys
from pathlib import Path
from ostiary.doors.servers.agent import accounts, sudoers
from ostiary.doors.servers.agent.files import HostError
from ostiary.doors.servers.wire.host import HostState
from ostiary.doors.servers.wire.message import decode
state = decode(HostState, sys.stdin.buffer.read())
try:
    done = accounts.apply(state.users, state.groups, Path("{OWNED}"))
except HostError as error:
    print(json.dumps([[], [str(error)]]))
else:
    problems = [*done.problems, *sudoers.apply(done.entering)]
    print(json.dumps([[user.login for user in done.entering], problems]))
"""
APPLYING = [PYTHON, "-c", APPLY]


def text(users: Sequence[HostUser], groups: Sequence[HostGroup] = ()) -> str:
    """The message that asks for these."""
    return encode(HostState(1, "s", "p", tuple(users), tuple(groups), (), (), "", 10)).decode()


def apply(
    host: Host,
    users: Sequence[HostUser],
    groups: Sequence[HostGroup] = (),
    wrapper: Sequence[str] = (),
) -> tuple[list[str], list[str]]:
    """Who may enter, and the problems."""
    argv = [*wrapper, *APPLYING]
    done = host.run(argv, stdin=text(users, groups), env=ENV)
    entering, problems = json.loads(done.stdout)
    return entering, problems


def python(
    host: Host, script: str, *arguments: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    return host.run([PYTHON, "-c", script, *arguments], env=ENV, check=check)


def as_user(
    host: Host, user: HostUser, *argv: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run as the LocalUser, with his groups."""
    numbers = ["--reuid", str(user.uid), "--regid", str(user.gid), "--init-groups"]
    return host.run(["setpriv", *numbers, "--", *argv], check=check)


def lines_of(host: Host, name: str, *left_out: str) -> list[str]:
    """Lines of a file in /etc without those of the users or groups named."""
    lines = host.read(f"/etc/{name}").splitlines()
    return [line for line in lines if line.partition(":")[0] not in left_out]


def sound(host: Host) -> str:
    """What is wrong with the files of accounts and sudo; "" if nothing is."""
    return host.run(["sh", "-c", "pwck -rq; grpck -r; visudo -cq"], check=False).stdout


def running(host: Host, login: str, *name: str) -> str:
    """Process ids of a user, without those that have ended and wait for their parent."""
    return host.run(["pgrep", "--runstates", "RSDT", "-u", login, *name], check=False).stdout


def exists(host: Host, path: str) -> bool:
    return (host.root / path.lstrip("/")).exists() or (host.root / path.lstrip("/")).is_symlink()


def in_host(host: Host, path: str) -> Path:
    return host.root / path.lstrip("/")
