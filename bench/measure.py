"""What a bar is, how a process is timed, and a served world to time it against."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
OSTIARY = Path(sys.executable).with_name("ostiary")


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the report: ``ours`` beside ``peer``, and whether the promise is kept. ``ok`` None: only told."""

    name: str
    ours: str
    peer: str = ""
    bar: str = ""
    ok: bool | None = None


@dataclass(frozen=True, slots=True)
class Timed:
    """``wall`` and ``cpu`` (user and system, children included) in seconds."""

    wall: float
    cpu: float
    stdout: str


def timed(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Timed:
    """Run to the end. RuntimeError with what it said if it fails."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(
            f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}"
        )
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Timed(wall, cpu, done.stdout)


@dataclass(frozen=True, slots=True)
class Served:
    """A served world and how to reach it."""

    env: Mapping[str, str]
    accounts: Sequence[str]
    folder: Path
    pid: int

    def calls(self) -> dict[str, int]:
        """How often each operation was called since the last time that this was asked."""
        told = self.folder / "calls.json"
        os.kill(self.pid, signal.SIGUSR1)
        while not told.exists():
            time.sleep(0.02)
        counts: dict[str, int] = json.loads(told.read_text())
        told.unlink()
        return counts


@contextlib.contextmanager
def served(accounts: int, latency: float) -> Iterator[Served]:
    """A fresh world of N accounts in a process of its own, every answer ``latency`` seconds late."""
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-") as name:
        folder = Path(name)
        command = [sys.executable, TOP / "bench/served.py", folder, str(accounts), str(latency)]
        process = subprocess.Popen([str(part) for part in command])
        try:
            while not (folder / "env.json").exists():
                if process.poll() is not None:
                    raise RuntimeError("the served world did not start")
                time.sleep(0.05)
            told: dict[str, Any] = json.loads((folder / "env.json").read_text())
            yield Served(told["env"], told["accounts"], folder, process.pid)
        finally:
            process.terminate()
            process.wait(timeout=30)


def peer_program(environment: str, program: str) -> Path:
    """A peer in an environment of its own: the one that ``make test`` makes, or made here from its lock."""
    place = Path(os.environ.get(f"OSTIARY_BENCH_{environment.upper()}", ""))
    if place.name:
        return place
    folder = TOP / ".envs" / environment
    if not (folder / "bin" / program).exists():
        (lock,) = (TOP / "requirements").glob(f"*/{environment}.lock.txt")
        timed([sys.executable, "-m", "venv", folder])
        timed([folder / "bin/pip", "install", "--quiet", "--require-hashes", "-r", lock])
        shutil.copy(lock, folder / "lock.txt")
    return folder / "bin" / program


def line_through(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Offset and slope of the least-squares line."""
    number = len(points)
    mean_x = sum(x for x, _ in points) / number
    mean_y = sum(y for _, y in points) / number
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return mean_y - slope * mean_x, slope
