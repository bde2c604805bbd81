"""``ostiary serve`` as a process: it signs its audits at the end, and the commands of audit work against it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from control_world import ADMINS, CLIENT_ID, Client, Issuer
from door_world import listens, until
from free_port import free_port
from held_session import held

from ostiary.doors.servers.wire import admin

OSTIARY = Path(sys.executable).with_name("ostiary")


class Served:
    """One control plane and an administrator of it, who uses the command line; both with ``env`` beside their own."""

    def __init__(self, folder, kept="", env=None):
        self.folder, self.issuer = folder, Issuer()
        self.kept = kept or folder / "kept"
        kept_ones = {one: os.environ.get(one, "") for one in ("PATH", "PYTHONPATH")}
        self.env = {**kept_ones, "HOME": str(folder), **(env or {})}
        self.process = None

    def start(self):
        port = free_port()
        argv = [
            *(OSTIARY, "serve", "--database", f"sqlite:///{self.folder}/control.db"),
            *("--listen", f"127.0.0.1:{port}", "--issuer", self.issuer.url),
            *("--client-id", CLIENT_ID, "--admin-group", ADMINS),
            *("--state-dir", self.folder / "state", "--checkpoint-dir", self.kept),
        ]
        self.log = self.folder / "log"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(argv, env=self.env, stdout=log, stderr=log)
        until(lambda: listens(port) or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()
        self.url = f"http://127.0.0.1:{port}"
        self.client = Client(self.url)
        self.client.sign_in(self.issuer.token("admin@acme.example", [ADMINS]))

    def ostiary(self, *arguments, **more):
        """``more`` are further variables of the environment."""
        argv = [OSTIARY, *map(str, arguments)]
        with held(self.url, self.client.session) as variables:
            return subprocess.run(
                argv,
                env={**self.env, **variables, **more},
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )

    def end(self, how=signal.SIGTERM):
        self.client.close()
        self.process.send_signal(how)
        return self.process.wait(20)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.issuer.close()


@pytest.fixture
def served(tmp_path):
    served = Served(tmp_path)
    yield served
    served.close()


def test_the_end_of_a_process_is_signed_and_its_audit_exported_verified_reconciled(served):
    served.start()
    made = served.client.call(
        "POST", "/v1/projects", admin.NewProject("prod", 60001, 63001), admin.Project
    )
    file = served.folder / "rows" / made.id
    assert served.end() == 0, served.log.read_text()
    (kept,) = served.kept.iterdir()
    assert kept.name == f"{made.id}.checkpoints"
    last = json.loads(kept.read_text().splitlines()[-1])
    served.start()
    exported = served.ostiary("audit", "export", "--project", "prod", "--to", file.parent, "--json")
    assert exported.returncode == 0, exported.stderr
    assert json.loads(exported.stdout)["last"] >= last["number"] >= 3
    again = served.ostiary("audit", "export", "--project", "prod", "--to", file.parent)
    assert "has every row of prod that a checkpoint stands for" in again.stdout
    keys = served.folder / "host.pub"
    keys.write_text("".join(f"{a.public_key}\n" for a in made.authorities if a.use == "host"))
    verified = served.ostiary("audit", "verify", file, "--authority", keys, "--json")
    told = json.loads(verified.stdout)
    assert (verified.returncode, told["trusted"]) == (0, True), verified.stderr
    for whose in (("--project", "prod"), (file,)):
        assert served.ostiary("audit", "reconcile", *whose).returncode == 0
    assert (
        served.ostiary("audit", "export", "--project", "none", "--to", file.parent).returncode == 5
    )


def test_a_row_changed_in_the_database_is_told_and_nothing_more_is_signed(served):
    served.start()
    made = served.client.call(
        "POST", "/v1/projects", admin.NewProject("prod", 60001, 63001), admin.Project
    )
    served.end()
    before = (served.kept / f"{made.id}.checkpoints").read_bytes()
    with sqlite3.connect(served.folder / "control.db") as database:
        database.execute("update audit set body = replace(body, 'prod', 'test') where number = 1")
        database.execute("delete from checkpoints")
    database.close()
    served.start()
    until(lambda: "row 1 is not what was written" in served.log.read_text())
    status = served.client.call("GET", "/v1/status", kind=admin.Status)
    assert any("is not whole" in one for one in status.problems), status
    exported = served.ostiary(
        "audit", "export", "--project", "prod", "--to", served.folder / "x.jsonl"
    )
    assert (exported.returncode, (served.folder / "x.jsonl").exists()) == (0, False), (
        "none is signed"
    )
    reconciled = served.ostiary("audit", "reconcile", "--project", "prod")
    assert reconciled.returncode == 11
    assert "row 1 is not what was written" in reconciled.stderr
    served.end()
    assert (served.kept / f"{made.id}.checkpoints").read_bytes() == before


def test_a_killed_process_leaves_nothing_that_the_next_one_cannot_sign(served):
    served.start()
    served.client.call(
        "POST", "/v1/projects", admin.NewProject("prod", 60001, 63001), admin.Project
    )
    served.end(signal.SIGKILL)
    with sqlite3.connect(served.folder / "control.db") as database:
        database.execute("delete from leases")  # as if the seconds of the dead one's were over
    database.close()
    served.start()
    served.end()
    with sqlite3.connect(served.folder / "control.db") as database:
        (number,) = database.execute("select max(number) from checkpoints").fetchone()
        assert database.execute("select number from chains").fetchone() == (number,)
    database.close()
