"""Issuing certificates over HTTP, each in the audit and durable before it leaves, beside OpenBao in the same run."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import control
import openbao
from measure import TOP, Bar

CLIENTS = 16
ROUNDS = 8  # of OpenBao and ours in turn
WORKERS = os.cpu_count() or 1  # OpenBao takes every core too
LEAST_SYNC = 0.0002  # seconds that a sync counts as, where the disk is faster: ADR 0017
EACH_HAS = 8  # sessions of a client: nobody asks more often than a session may
HOSTS = 500
LOAD = TOP / "bench/load.py"


@dataclass(frozen=True, slots=True)
class Load:
    """What a server answered: ``latencies`` of the answers and ``seconds`` in which they came; CPU seconds of the server."""

    latencies: Sequence[float]
    seconds: float
    cpu: float

    @classmethod
    def of(cls, loads: Sequence[Load]) -> Load:
        """All of them as one."""
        latencies = [one for load in loads for one in load.latencies]
        return cls(latencies, sum(one.seconds for one in loads), sum(one.cpu for one in loads))

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def p50(self) -> float:
        return median(self.latencies)

    @property
    def p99(self) -> float:
        return quantiles(self.latencies, n=100)[-1]

    def __str__(self) -> str:
        times = f"p50 {self.p50 * 1e3:.2f} ms, p99 {self.p99 * 1e3:.1f} ms"
        each = self.cpu / len(self.latencies)
        return f"{self.rate:,.0f} a second, {times}, {each * 1e6:.0f} us CPU each"


def bars(seconds: float) -> Iterator[Bar]:
    """``seconds`` of each load."""
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-issue-") as name:
        folder = Path(name)
        (folder / "sqlite").mkdir()
        address = f"sqlite:///{folder}/sqlite/control.db"
        with control.plane(folder / "sqlite", address, workers=WORKERS) as plane:
            asking = Asking(plane, "prod")
            with openbao.openbao(folder) as peer:
                ours = yield from _in_turn(asking, peer, folder, seconds / 2)
            yield _all_hosts(plane)
        yield from _on_postgres(folder, address, seconds, ours[CLIENTS])


def _in_turn(
    asking: Asking, peer: openbao.OpenBao, folder: Path, seconds: float
) -> Generator[Bar, None, dict[int, Load]]:
    """Each in turn, several times, the disk between them: a machine is not as fast, nor its disk, from one moment to the
    next. What is judged is all that was answered in all rounds; our loads by the number of clients.
    """
    synced: list[float] = []
    loads: dict[int, tuple[list[Load], list[Load]]] = {1: ([], []), CLIENTS: ([], [])}
    for _ in range(ROUNDS):
        for number, (theirs, ours) in loads.items():
            theirs.append(_theirs(peer, number, seconds))
            synced += _fdatasyncs(folder)
            ours.append(asking.load(number, seconds))
            synced += _fdatasyncs(folder)
    beside, alone = map(Load.of, loads[1])
    sync = median(synced)
    most = beside.p50 + 3 * max(sync, LEAST_SYNC)
    yield Bar(
        "issue, SQLite, 1 client",
        str(alone),
        f"OpenBao {beside}",
        f"p50 <= OpenBao's + 3 fdatasync, 0.2 ms at least (here {sync * 1e3:.2f}) = {most * 1e3:.2f} ms",
        ok=alone.p50 <= most,
    )
    beside, many = map(Load.of, loads[CLIENTS])
    yield Bar(
        f"issue, SQLite, {CLIENTS} clients",
        str(many),
        f"OpenBao {beside}: x {many.rate / beside.rate:.2f}",
        ">= OpenBao",
        ok=many.rate >= beside.rate,
    )
    return {1: alone, CLIENTS: many}


def _on_postgres(folder: Path, sqlite: str, seconds: float, by_workers: Load) -> Iterator[Bar]:
    """What the database costs is judged by one worker on each, in turn as above. ``by_workers`` is of SQLite."""
    place = folder / "on-postgres"
    place.mkdir()
    with control.postgres(folder) as address:
        with (
            control.plane(folder / "sqlite", sqlite) as on_sqlite,
            control.plane(place, address) as on_postgres,
        ):
            pair = [Asking(plane, "one") for plane in (on_sqlite, on_postgres)]
            turns = [
                [asking.load(CLIENTS, seconds * 2 / ROUNDS) for asking in pair]
                for _ in range(ROUNDS)
            ]
        beside, one = map(Load.of, zip(*turns, strict=True))
        with control.plane(place, address, workers=WORKERS) as plane:
            several = Asking(plane, "several").load(CLIENTS, seconds)
        with control.plane(place, address, processes=2) as plane:
            hot = Asking(plane, "hot").load(CLIENTS, seconds, processes=2)
    yield Bar(f"issue, SQLite, {CLIENTS} clients, one worker", str(beside))
    yield Bar(
        f"issue, PostgreSQL, {CLIENTS} clients, workers: 1",
        str(one),
        f"SQLite {beside.rate:,.0f}: x {one.rate / beside.rate:.2f}",
        ">= 0.5 x SQLite",
        ok=one.rate >= 0.5 * beside.rate,
    )
    yield Bar(
        f"issue, PostgreSQL, {CLIENTS} clients, workers: {WORKERS}",
        str(several),
        f"SQLite {by_workers.rate:,.0f}: x {several.rate / by_workers.rate:.2f}",
    )
    yield Bar("issue, PostgreSQL, one hot project on two processes", str(hot))


class Asking:
    """People of a project with one server, and what each client asks."""

    def __init__(self, plane: control.Plane, project: str) -> None:
        self._plane = plane
        (server,) = plane.project(project, 1)
        self._server, self._people = server, plane.people(CLIENTS * EACH_HAS)
        self._run(
            CLIENTS, len(plane.urls), each=EACH_HAS
        )  # everybody gets a LocalUser, and every cache is warm

    def load(self, clients: int, seconds: float, processes: int = 1) -> Load:
        return self._run(clients, processes, seconds=seconds)

    def _run(self, clients: int, processes: int, **how: float) -> Load:
        ports = [int(url.rpartition(":")[2]) for url in self._plane.urls[:processes]]
        requests = [control.request_for(self._server, one) for one in self._people]
        asked = [
            (ports[number % len(ports)], requests[number :: CLIENTS if clients > 1 else 1])
            for number in range(clients)
        ]
        return load(self._plane, asked, **how)


def _theirs(peer: openbao.OpenBao, clients: int, seconds: float) -> Load:
    asked = [
        (peer.port, [openbao.request_for("ada") for _ in range(EACH_HAS)]) for _ in range(clients)
    ]
    load(peer, asked, each=10)
    return load(peer, asked, seconds=seconds)


def load(
    server: control.Plane | openbao.OpenBao,
    asked: Sequence[tuple[int, Sequence[bytes]]],
    **how: float,
) -> Load:
    """Each client's port and requests. RuntimeError if anything was refused."""
    clients = [
        {
            "address": f"127.0.0.{number + 2}",  # nobody asks more often than an address may
            "port": port,
            "requests": [base64.b64encode(one).decode() for one in requests],
        }
        for number, (port, requests) in enumerate(asked)
    ]
    before = server.cpu()
    told = _loaded({"clients": clients, **how})
    if told["refused"]:
        raise RuntimeError(f"refused: {told['refused']}: {told['said']}")
    return Load(told["latencies"], told["seconds"], server.cpu() - before)


def _loaded(job: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(LOAD)],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _all_hosts(plane: control.Plane) -> Bar:
    """Somebody unattended, with one certificate for each of 500 hosts, as Ansible forks."""
    servers = plane.project("fleet", HOSTS)
    people = plane.people(CLIENTS)
    port = int(plane.urls[0].rpartition(":")[2])
    asked = [
        (port, [control.request_for(one, people[number]) for one in servers[number::CLIENTS]])
        for number in range(CLIENTS)
    ]
    each = max(len(requests) for _, requests in asked)
    found = load(plane, asked, each=each)
    made = sum(each for _ in asked)
    return Bar(f"issue, {HOSTS} hosts, a certificate each", f"{made / found.rate:.1f} s: {found}")


def _fdatasyncs(folder: Path, times: int = 100) -> list[float]:
    """Seconds of appends to a new file made durable, one after the other."""
    took = []
    file = os.open(folder / "synced", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with contextlib.closing(os.fdopen(file, "wb", buffering=0)) as stream:
        for _ in range(times):
            stream.write(b"x" * 4096)
            started = time.perf_counter()
            os.fdatasync(file)
            took.append(time.perf_counter() - started)
    return took
