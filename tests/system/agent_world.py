"""A host with sshd and the agent, enrolled and in line with a state that lets alice in; for tests that break it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from host_control import Peer, Person, admin
from hosts import Fleet, Host
from hosts_namespace import wait_for

from ostiary.doors.servers.wire.host import HostState, HostUser

CLOSED, REFUSED = 255, 254  # ssh: sshd takes no key; PAM opened no session


class World:
    def __init__(self, fleet: Fleet, peer: Peer, folder: Path) -> None:
        self.fleet, self.peer, self.person = fleet, peer, Person(fleet, folder)
        self.host: Host = fleet["web1"]
        self.host.start_sshd()
        self.id = peer.enroll(self.host, "--break-glass-account", "root")

    def say(self, *users: HostUser, **changes) -> HostState:
        return self.peer.state(self.id, *users, **changes)

    def admin(self, **fields) -> HostUser:
        return admin(server_id=self.id, **fields)

    def once(self, *options: str):
        return self.host.agent("once", *options, check=False)

    def made(self, login: str = "alice", signer=None) -> Path:
        return self.person.certificate(signer or self.peer.user, f"{login}@{self.id}")

    def enter(self, made: Path | None = None, *arguments: str, **options) -> int:
        done = self.person.ssh(self.host, made or self.made(), *(arguments or ("true",)), **options)
        return done.returncode

    def break_glass(self, **options) -> int:
        """How entering as root by it ends."""
        return self.enter(self.made("root", self.peer.glass), login="root", **options)

    @contextlib.contextmanager
    def sshd(self, program: str, *options: str) -> Iterator[None]:
        """Another sshd on this host."""
        pid_file = "/run/another.pid"
        self.host.run([program, *options, "-o", f"PidFile={pid_file}"])
        wait_for((self.host.root / pid_file[1:]).exists, "another sshd")
        try:
            yield
        finally:
            self.host.run(["sh", "-c", f"kill $(cat {pid_file})"])


@contextlib.contextmanager
def entered(folder: Path) -> Iterator[World]:
    """A world whose agent ran once, without a complaint."""
    with Fleet(["web1"]) as fleet, Peer(fleet, folder) as peer:
        world = World(fleet, peer, folder)
        world.say(world.admin())
        done = world.once()
        assert done.returncode == 0, done.stderr
        assert done.stderr == "", done.stderr
        yield world
