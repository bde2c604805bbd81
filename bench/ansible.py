"""A whole fleet by Ansible, unattended, a certificate for each server, beside the same Ansible and sshd with a static key.

The whole door (root only): ``ostiary serve`` over TLS on SQLite, each server enrolled by the agent's own code with files and an
address of its own, sshd started for each connection, a machine that signed in with a key of its own. What each server let in
is held against the audit, by ``ostiary audit reconcile`` too: a run in which a certificate is missing or used twice is MISSED.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import static_key
from control import cpu_of
from measure import TOP, Bar, peer_program, timed

sys.path.insert(0, str(TOP / "tests/system"))

from many_world import PROJECT, RECAP, Many

SIZES = (100, 250, 500)
FORKS = 16
LINEAR = 1.25  # times the CPU for each server at the smallest size, at the largest


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds of one run over ``servers``: the wall's, and CPU by who took it."""

    servers: int
    wall: float
    client: float  # Ansible, ssh and our entry files
    resident: float
    control: float
    sshd: float  # and its session hook

    @property
    def each(self) -> float:
        return (self.client + self.resident + self.control + self.sshd) / self.servers

    def __str__(self) -> str:
        parts = {
            "Ansible and ssh": self.client,
            "agent": self.resident,
            "control plane": self.control,
            "sshd": self.sshd,
        }
        told = [f"{name} {1e3 * cpu / self.servers:.0f}" for name, cpu in parts.items() if cpu]
        return f"{self.wall:.1f} s; {self.each * 1e3:.0f} ms CPU a server ({', '.join(told)})"


def bars(sizes: Sequence[int] = SIZES) -> Iterator[Bar]:
    if os.geteuid() != 0:
        yield Bar("servers by Ansible", "not run: needs root for namespaces")
        return
    peer_program("ansible", "ansible-playbook")
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-") as folder, Many(Path(folder)) as door:
        door.fill()
        began = time.perf_counter()
        door.add(sizes[-1])
        took = time.perf_counter() - began
        yield Bar(
            f"{sizes[-1]} servers enrol and hold their state", f"{took:.0f} s by 8 agents at once"
        )
        yield from _entered(door, sizes)


def _entered(door: Many, sizes: Sequence[int]) -> Iterator[Bar]:
    hosts = (f"{door.address(one)} {door.host_key(one)}\n" for one in door.servers)
    static = static_key.options(door.machine, door.host, "".join(hosts))
    taken = []
    for size in sizes:
        names = list(door.servers)[:size]
        door.forget_logs()
        before = door.number()
        ours = _run(door, names)
        taken.append(ours)
        faults = door.certificates(names, before).faults
        theirs = _run(door, names, static)
        yield Bar(f"{size} servers by Ansible, {FORKS} at once", str(ours), f"static key {theirs}")
        yield Bar(
            f"certificates of that run over {size} servers",
            "; ".join(faults[:3]) or f"{size}, each for another server and let in there once",
            bar="one a server",
            ok=not faults,
        )
    yield _reconciled(door, sum(sizes))
    first, last = taken[0], taken[-1]
    yield Bar(
        f"CPU for each server, {first.servers} to {last.servers} of them",
        " -> ".join(f"{one.each * 1e3:.0f} ms" for one in taken),
        bar=f"<= {LINEAR} x the first",
        ok=last.each <= LINEAR * first.each,
    )


def _run(door: Many, names: Sequence[str], static: Sequence[str] = ()) -> Run:
    """RuntimeError if Ansible did not do its one task on every server."""
    command = door.ansible(
        door.inventory(names, static=static_key.ACCOUNT if static else ""), FORKS
    )
    env = {**door.ansible_env(), "ANSIBLE_DISPLAY_FAILED_STDERR": "true"}
    if static:
        env["ANSIBLE_SSH_ARGS"] = " ".join(static)
    before = _cpu(door)
    done = timed(command, env)
    door.until_left()
    resident, control, sshd = (now - then for now, then in zip(_cpu(door), before, strict=True))
    found = {one[0]: one[1:] for one in RECAP.findall(done.stdout)}
    if found != dict.fromkeys(names, ("1", "0", "0")):
        raise RuntimeError(f"not every server was entered: {done.stdout[-2000:]}")
    return Run(len(names), done.wall, done.cpu, resident, control, sshd)


def _cpu(door: Many) -> tuple[float, float, float]:
    return cpu_of(door.resident_pid()), cpu_of(door.serve_pid), cpu_of(door.serving_pid, ended=True)


def _reconciled(door: Many, certificates: int) -> Bar:
    door.report()
    ada = door.people["ada"]
    said = ada.ostiary("audit", "reconcile", "--project", PROJECT, "--json", check=False)
    found = json.loads(said.stdout)
    told = (
        f"{found['certificates']} issued, {found['met']} let in, {len(found['findings'])} findings"
    )
    ok = (found["certificates"], found["outcomes"]) == (certificates, {"accepted": certificates})
    return Bar(
        "audit reconcile over all of it",
        told,
        bar=f"{certificates}, all let in once",
        ok=ok and not found["findings"],
    )


if __name__ == "__main__":
    from run import show

    for bar in bars(tuple(map(int, sys.argv[1:])) or SIZES):
        show(bar)
