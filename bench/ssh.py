"""``ssh host true`` with a fresh certificate each time, beside a static key of the same host; and what each part costs.

The whole door in namespaces (root only): a real ``ostiary serve`` over TLS on SQLite, an enrolled host with its session hook,
a resident agent that is warm. The peer is the same ssh, sshd, network and key exchange, with a key in ``authorized_keys``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import static_key
from measure import TOP, Bar, timed

sys.path.insert(0, str(TOP / "tests/system"))

from door_world import Door

MOST = 0.060  # seconds more than a static key
START = 0.040  # seconds of an entry file that decides nothing
ROUNDS = 40
ENTRY = TOP / "src/ostiary/doors/servers/client"


def bars(rounds: int = ROUNDS) -> Iterator[Bar]:
    yield from _entry_files(rounds)
    if os.geteuid() != 0:
        yield Bar("ssh host true", "not run: needs root for namespaces")
        return
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-") as folder, Door(Path(folder)) as door:
        door.fill()
        yield from _beside_a_static_key(door, rounds)


def _entry_files(rounds: int) -> Iterator[Bar]:
    bare = [sys.executable, "-I", "-S", "-c", "pass"]
    resolve = [
        sys.executable,
        "-I",
        "-S",
        ENTRY / "resolve.py",
        "/nowhere",
        "--",
        "web1",
    ]
    proxy = [sys.executable, "-I", "-S", ENTRY / "proxy.py", "/nowhere", "--", "web1", "ada"]
    taken = in_turn(rounds, *(_running(one) for one in (bare, resolve, proxy)))
    for name, ours in zip(
        ("Match exec, no agent", "ProxyCommand, no agent"), taken[1:], strict=True
    ):
        yield Bar(
            f"start of {name}",
            str(ours),
            f"bare interpreter {taken[0]}",
            f"<= {START * 1000:.0f} ms",
            ok=ours <= START,
        )


def _running(command: Sequence[str | Path]) -> Callable[[], float]:
    def run() -> float:
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=False)
        return time.perf_counter() - began

    return run


def _beside_a_static_key(door: Door, rounds: int) -> Iterator[Bar]:
    grace, host = door.people["grace"], door["lab1"]
    grace.until_in("lab1")
    grace.until_in("web1")
    static = static_key.options(grace, host, f"{host.address} {host.host_key}\n")
    config = str(grace.home / ".ssh/config")

    def ours(name: str, *options: str) -> Callable[[], float]:
        command = door.fleet.client.command(["ssh", "-F", config, *options, name, "true"])
        return lambda: timed(command, grace.env).wall

    def theirs(*options: str) -> Callable[[], float]:
        command = door.fleet.client.command(
            ["ssh", *options, *static, f"{static_key.ACCOUNT}@{host.address}", "true"]
        )
        return lambda: timed(command, grace.env).wall

    default = "-oKexAlgorithms=sntrup761x25519-sha512@openssh.com"
    fast = in_turn(rounds, ours("lab1"), theirs())
    slow = in_turn(rounds // 2, ours("lab1", default), theirs(default))
    for name, (mine, other) in (("curve25519", fast), ("sntrup761", slow)):
        yield Bar(
            f"ssh host true, fresh certificate, {name}",
            str(mine),
            f"static key {other}",
            f"<= static + {MOST * 1000:.0f} ms",
            ok=mine <= other + MOST,
        )
    (hop,) = in_turn(rounds // 2, ours("web1"))
    yield Bar("ssh host true through a bastion, two certificates", str(hop))


class Taken(float):
    """The median, in seconds; shown with the fastest, which a busy machine changes least."""

    fastest = 0.0

    def __str__(self) -> str:
        return f"{self * 1000:.0f} ms (fastest {self.fastest * 1000:.0f})"


def in_turn(rounds: int, *each: Callable[[], float]) -> list[Taken]:
    """What each takes, one after the other in every round, so that all see the same machine."""
    taken = [[one() for one in each] for _ in range(rounds)]
    found = []
    for column in zip(*taken, strict=True):
        found.append(Taken(statistics.median(column)))
        found[-1].fastest = min(column)
    return found


if __name__ == "__main__":
    from run import show

    for bar in bars():
        show(bar)
