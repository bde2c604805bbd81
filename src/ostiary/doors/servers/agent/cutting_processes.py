"""The processes of this host, as /proc shows them. Source: proc(5), status and stat."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NO_SESSION = 2**32 - 1


@dataclass(frozen=True)
class Process:
    """``uids`` are the real, effective and saved one; ``began`` in seconds since the host booted."""

    pid: int
    parent: int
    uids: tuple[int, ...]
    name: str
    session: int  # of the kernel's audit, 2**32 - 1 for none: it stays through sudo and setsid
    began: float


def processes() -> dict[int, Process]:
    """All of this PID namespace, by number."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                one = _process(entry)
                found[one.pid] = one
    return found


def _process(entry: Path) -> Process:
    """In bytes, and lines as the kernel ends them: everybody calls his processes as he likes."""
    status = dict(
        line.split(b":\t", 1)
        for line in (entry / "status").read_bytes().split(b"\n")
        if b":\t" in line
    )
    after_name = (entry / "stat").read_bytes().rpartition(b")")[2].split()
    session = NO_SESSION
    with contextlib.suppress(OSError):  # a kernel without audit
        session = int((entry / "sessionid").read_text())
    return Process(
        int(entry.name),
        int(status[b"PPid"]),
        tuple(int(one) for one in status[b"Uid"].split()[:3]),
        status[b"Name"].decode("utf-8", "replace"),
        session,
        int(after_name[19]) / os.sysconf("SC_CLK_TCK"),
    )


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in b"ZX"
    except (OSError, IndexError):
        return True


def below(everybody: Mapping[int, Process], pids: set[int]) -> list[Process]:
    """Children of ``pids``, theirs, and so on."""
    found: dict[int, Process] = {}
    grown = True
    while grown:
        grown = False
        for one in everybody.values():
            if (
                one.pid not in found
                and one.pid not in pids
                and (one.parent in pids or one.parent in found)
            ):
                found[one.pid] = one
                grown = True
    return list(found.values())
