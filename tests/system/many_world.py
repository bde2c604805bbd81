"""A project of many servers that a machine enters by Ansible: ``Door`` with one host, in which each server has its own files.

The servers have addresses of their own (``hosts_many.py``), are enrolled by the agent's own code, and are reached by port 22.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Self

import hosts_many
from door_world import Client, Door, Site
from hosts import ENV, PYTHON, TOP, wait_for
from hosts_namespace import child_of

HOST, PROJECT, MACHINE, LOGIN = "first", "prod", "machine:deploy", "machine-deploy"
SITE = Site(
    {HOST: PROJECT},
    {},
    {PROJECT: [{"subject": MACHINE, "login": True}]},
)
PRINCIPALS = f"etc/ssh/ostiary/principals/{LOGIN}"  # written last, when all else is in force
ANSIBLE = TOP / ".envs/ansible/bin/ansible-playbook"
ACCEPTED = re.compile(r"Accepted publickey .*\(serial (\d+)\)")
RECAP = re.compile(
    r"^(\S+) +: ok=(\d+) +changed=\d+ +unreachable=(\d+) +failed=(\d+)", re.MULTILINE
)
SHARED = (
    "-C",
    "-o",
    "ControlMaster=auto",
    "-o",
    "ControlPersist=60s",
)  # as Ansible says unless told
RESIDENT = b"ostiary.doors.servers.client.resident"
PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
"""
TASK = '    - raw: "true"\n'
ROWS = """
import json, sys
from ostiary.doors.servers.client.credentials import signed_in
from ostiary.doors.servers.wire.admin import AuditRows
with signed_in() as control:
    after = int(sys.argv[2])
    while more := control.call("GET", f"/v1/projects/{sys.argv[1]}/audit?after={after}", kind=AuditRows).rows:
        for row in more:
            print(json.dumps({"number": row.number, "event": row.event, **json.loads(row.body)}))
        after = more[-1].number
"""


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the audit and the servers say of one run: rows of certificates, and serials that each server's sshd let in."""

    rows: Sequence[Mapping[str, str]]
    accepted: Mapping[str, Sequence[str]]  # by server id

    @property
    def faults(self) -> list[str]:
        """Where it was not one certificate for each server, used there once."""
        serials = [one["serial"] for one in self.rows]
        servers = [one["server"] for one in self.rows]
        found = []
        if len(self.rows) != len(self.accepted):
            found.append(f"{len(self.rows)} certificates for {len(self.accepted)} servers")
        if len(set(serials)) != len(serials):
            found.append("a serial was issued twice")
        if set(servers) != set(self.accepted) or len(set(servers)) != len(servers):
            found.append("not every server has one")
        seen = {
            one["server"]: (one["serial"], self.accepted.get(one["server"])) for one in self.rows
        }
        return found + [
            f"{server} let in {accepted}, and has {serial}"
            for server, (serial, accepted) in seen.items()
            if accepted != [serial]
        ]


class Many(Door):
    """``servers`` by name: their ids. ``machine`` is who enters them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SITE)
        self.servers: dict[str, str] = {}

    def __enter__(self) -> Self:
        super().__enter__()
        self.host = self.fleet[HOST]
        self.host.stop_sshd()  # its place is for the sshd of each server
        route = ["ip", "route", "add", hosts_many.NETWORK, "via", self.host.address]
        self.fleet.client.run(route)
        self.host.run(["ip", "route", "add", "local", hosts_many.NETWORK, "dev", "lo"])
        return self

    def fill(self) -> None:
        """The project, its machine, the host's own accounts and PAM, and what starts an sshd for each connection."""
        super().fill()
        self.machine = Client(self, "deploy")
        self._sign_in()
        self.machine.configure()
        wait_for((self.host.root / PRINCIPALS).exists, "the machine's account", 60)
        self._end_agents()  # each server has its own from now on
        self.serving = self._inside("serve", stdout=PIPE)
        assert self.serving.stdout is not None
        assert self.serving.stdout.readline() == "ready\n"
        self.serving_pid = child_of(self.serving.pid)
        self._ending.callback(self._stop)

    def add(self, number: int) -> None:
        """Enrol further servers until there are ``number``."""
        first = len(self.servers)
        options = ("--project", PROJECT, "--uses", str(number - first))
        made = self.people["ada"].ostiary("servers", "token", "create", *options)
        given = (self.agent_url, "/root/ca.pem", str(first), str(number))
        said = self._run("enroll", *given, stdin=made.stdout.split()[-1])
        self.servers |= dict(line.split() for line in said.splitlines())
        assert len(self.servers) == number
        self._sign_in()  # a resident agent reads again what servers there are, but not at once

    def _sign_in(self) -> None:
        at = ("--control", self.url, "--ca", self.ca_file)
        self.machine.ostiary("login", *at, "--machine", "deploy", "--key-file", self.machine_key)

    def report(self) -> None:
        """Every agent tells the control plane what its sshd let in."""
        self._run("report", "0", str(len(self.servers)))

    def number(self) -> int:
        """Of the newest row of the audit."""
        return self.rows(0)[-1]["number"]

    def rows(self, after: int) -> list[dict]:
        said = self.people["ada"].python(ROWS, PROJECT, str(after))
        return [json.loads(line) for line in said.splitlines()]

    def inventory(self, names: Sequence[str], *, static: str = "") -> Path:
        """A file for Ansible; with ``static`` by address and as that account, as if nobody knew of us."""
        if static:
            told = [
                f"{one} ansible_host={self.address(one)} ansible_user={static}" for one in names
            ]
        else:
            told = list(names)
        file = self.folder / f"inventory-{len(names)}{static and '-static'}"
        file.write_text("".join(f"{one}\n" for one in told))
        return file

    def ansible(self, inventory: Path, forks: int = 16, tasks: int = 1) -> list[str]:
        """The command, as it is run from outside the client's network."""
        play = self.folder / "play.yaml"
        play.write_text(PLAY + tasks * TASK)
        return self.fleet.client.command([ANSIBLE, "-f", forks, "-i", inventory, play])

    def ansible_env(self, *ssh: str) -> dict[str, str]:
        """``ssh`` are further options of every ssh; the configuration is the machine's own, which ``ostiary ssh-config`` wrote."""
        options = ("-F", str(self.machine.home / ".ssh/config"), *ssh)
        return {
            **self.machine.env,
            "ANSIBLE_SSH_ARGS": " ".join(options),
            "LC_ALL": "C.UTF-8",
        }

    def certificates(self, names: Sequence[str], after: int) -> Certificates:
        """What came of a run over ``names`` that began after row ``after``."""
        issued = [one for one in self.rows(after) if one["event"] == "certificate.issued"]
        accepted = {self.servers[one]: ACCEPTED.findall(self.sshd_log(one)) for one in names}
        return Certificates([one for one in issued if one["person_login"] == MACHINE], accepted)

    def sshd_log(self, name: str) -> str:
        file = self._place(name) / "log"
        return file.read_text() if file.exists() else ""

    def forget_logs(self) -> None:
        for one in self.servers:
            (self._place(one) / "log").unlink(missing_ok=True)

    def end_shared(self) -> None:
        """The connections that Ansible's own options keep for a minute."""
        for one in (self.machine.home / ".ansible/cp").iterdir():
            self.machine.run("ssh", "-O", "exit", "-o", f"ControlPath={one}", "any", check=False)

    def until_left(self) -> None:
        """Until no sshd of a connection is there any more."""
        children = Path(f"/proc/{self.serving_pid}/task/{self.serving_pid}/children")
        wait_for(lambda: not children.read_text(), "the end of every connection")

    def resident_pid(self) -> int:
        """Of the machine's resident agent."""
        mine = f"HOME={self.machine.home}".encode()
        for one in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if RESIDENT in (one / "cmdline").read_bytes().split(b"\0") and mine in (
                    one / "environ"
                ).read_bytes().split(b"\0"):
                    return int(one.name)
        raise AssertionError("no resident agent of the machine runs")

    @property
    def serve_pid(self) -> int:
        return self._serving.pid

    def host_key(self, name: str) -> str:
        text = (self._place(name) / "ssh/ssh_host_ed25519_key.pub").read_text()
        return " ".join(text.split()[:2])

    def ledger(self, name: str) -> list[str]:
        """The serials that this server's session hook has counted."""
        found = (self._place(name) / "var/ledger").iterdir()
        return [one.name for one in found if one.name.isdigit()]

    @staticmethod
    def address(name: str) -> str:
        return hosts_many.address_of(int(name.rpartition("-")[2]))

    def _place(self, name: str) -> Path:
        return self.host.root / f"var/servers/{name.rpartition('-')[2]}"

    def _inside(self, *words: str, **options) -> subprocess.Popen[str]:
        env = {"PYTHONPATH": str(TOP / "src"), "PYTHONDONTWRITEBYTECODE": "1", "PATH": ENV["PATH"]}
        argv = [PYTHON, str(TOP / "tests/system/hosts_many.py"), *words]
        return self.host.popen(argv, env=env, **{"stdin": DEVNULL, **options})

    def _run(self, *words: str, stdin: str = "") -> str:
        running = self._inside(*words, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        said, talk = running.communicate(stdin)
        assert running.returncode == 0, talk
        return said

    def _stop(self) -> None:
        os.kill(self.serving_pid, signal.SIGTERM)  # nsenter passes no signal on
        self.serving.communicate()
