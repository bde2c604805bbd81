"""Many agents at once: all come back within a second, all wait for news, all hear of a removal."""

import asyncio
import hashlib
import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from control_process import People, Process
from control_world import ADMINS, Host, Issuer, Refused
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select

from ostiary.doors.servers.control import tables
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.wire.admin import (
    AuditRows,
    MadeToken,
    NewToken,
    Project,
    ProjectWanted,
    Rule,
    ServersHeld,
    Settings,
)
from ostiary.doors.servers.wire.host import HostState
from ostiary.pki import sshsig
from ostiary.pki.signer import LocalSigner

FULL = os.environ.get("OSTIARY_CHAOS") == "full"
PEOPLE = 100
ENROLLING, AT_ONCE, MINUTE = 500, 16, 60.0


class Agent:
    """As much of an agent as asks for its state."""

    def __init__(self, number):
        self.signer = LocalSigner(Ed25519PrivateKey.generate())
        self.id = f"srv_{number:016d}"
        self.generation = 0
        self.users = None
        self.failed = 0

    def row(self, project_id):
        public = self.signer.public_key.text()
        told = {"labels": json.dumps({"role": "web"}), "facts": "{}", "state": "active"}
        seen = {
            "enrolled": time.time(),
            "last_seen": time.time(),
            "clock_offset": 0.0,
            "applied": 0,
        }
        place = {"address": "192.0.2.1", "port": 22, "bastion": "", "host_certificate": ""}
        name = self.id.replace("_", "-")
        return (
            {"id": self.id, "project_id": project_id, "name": name, "host_key": public}
            | told
            | seen
            | place
        )

    async def ask(self, port, wait=0):
        """One poll by a new connection; tried again after a moment when it was refused."""
        for attempt in range(20):
            try:
                return await self._ask(port, wait)
            except (OSError, ValueError, KeyError, EOFError):
                self.failed += attempt == 0
                await asyncio.sleep(0.5 + attempt * 0.2)
        raise AssertionError("no answer after twenty attempts")

    async def _ask(self, port, wait):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            _, body = await exchange(reader, writer, "POST", "/v1/hosts/challenge")
            challenge = json.loads(body)["challenge"]
            path = f"/v1/hosts/state?generation={self.generation}&wait={wait}"
            text = f"GET\n{path}\n{challenge}\n{hashlib.sha256(b'').hexdigest()}".encode()
            proof = f"{self.id} {challenge} {sshsig.sign(self.signer, 'ostiary-host@v1', text)}"
            status, body = await exchange(reader, writer, "GET", path, f"Ostiary-Host: {proof}\r\n")
        finally:
            writer.close()
        if status not in (200, 304):
            raise ValueError(body)
        if status == 200:
            state = json.loads(body)
            self.generation, self.users = state["generation"], len(state["users"])


async def exchange(reader, writer, method, path, more=""):
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{more}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    size = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
    return int(head.split(" ")[1]), await reader.readexactly(size)


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_all_come_back_at_once_and_hear_of_a_removal(tmp_path, database_url):
    many = 5000 if FULL else 500
    issuer = Issuer()
    process = Process(database_url, tmp_path, issuer)
    process.start()
    try:
        people = People(issuer, [process.url])
        people.project()
        agents = [Agent(number) for number in range(many)]
        fill(database_url, agents)
        everybody(people)
        began = time.monotonic()
        asyncio.run(all_ask(agents, process.port, spread=1.0))
        settled = time.monotonic() - began
        assert {one.users for one in agents} == {PEOPLE}
        assert sum(one.failed for one in agents) < many / 100
        assert settled <= 60
        told = asyncio.run(removal(agents, process.port, people))
        assert {one.users for one in agents} == {0}
        assert statistics.median(told) <= 5
        assert max(told) <= 30
    finally:
        process.end()
        issuer.close()


async def all_ask(agents, port, *, spread=0.0, wait=0):
    async def later(number, agent):
        await asyncio.sleep(spread * number / len(agents))
        await agent.ask(port, wait)

    await asyncio.gather(*(later(*one) for one in enumerate(agents)))


async def removal(agents, port, people):
    """Seconds from the change of the rules until each agent, which waits, was told."""
    told = []
    changed = []

    async def wait_for_it(agent):
        while agent.users != 0:
            await agent.ask(port, wait=20)
        told.append(time.monotonic() - changed[0])

    waiting = [asyncio.create_task(wait_for_it(one)) for one in agents]
    await asyncio.sleep(4)
    await asyncio.to_thread(take_away, people)
    changed.append(time.monotonic())
    await asyncio.gather(*waiting)
    return told


def take_away(people):
    by = people.client("admin@acme.example", [ADMINS])
    project = by.call("GET", "/v1/projects/prod", kind=Project)
    wanted = ProjectWanted(project.generation, Settings(), (Rule("group:nobody", login=True),))
    by.call("PUT", "/v1/projects/prod", wanted)
    by.close()


def fill(url, agents):
    """Enrolling is tested elsewhere: here the rows are put there."""
    database = Database(url)
    with database.writing() as connection:
        project_id = connection.scalar(select(tables.projects.c.id))
        connection.execute(insert(tables.servers), [one.row(project_id) for one in agents])
    database.close()


def everybody(people):
    for number in range(PEOPLE):
        people.client(f"p{number}@acme.example", ["sre"]).close()


def test_five_hundred_enrol_within_a_minute_by_one_counted_token(tmp_path, database_url):
    """Sixteen at once, each with a key of its own; every one has an id, a certificate and a row of its own, and no more come in."""
    issuer = Issuer()
    process = Process(database_url, tmp_path, issuer)
    process.start()
    hosts = [Host(process.url) for _ in range(ENROLLING + 1)]
    try:
        people = People(issuer, [process.url])
        people.project()
        by = people.client("admin@acme.example", [ADMINS])
        asked = NewToken(ENROLLING, 600.0)
        token = by.call("POST", "/v1/projects/prod/tokens", asked, MadeToken).token
        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as together:
            made = list(together.map(lambda one: enrolled(*one, token), enumerate(hosts)))
        took = time.monotonic() - began
        by.close()
        by = people.client("admin@acme.example", [ADMINS])  # the idle connection may be closed
        joined = [one.server_id for one in made if one is not None]
        assert len(set(joined)) == len(joined) == ENROLLING, "the token is good for as many"
        assert took <= MINUTE
        late = Host(process.url)
        hosts.append(late)
        assert enrolled(ENROLLING + 1, late, token) is None
        held = by.call("GET", "/v1/projects/prod/servers", kind=ServersHeld).servers
        ours = {one.id for one in held if one.name != "web1"}  # that came with the project
        assert ours == set(joined)
        assert ours <= set(rows_of_enrolment(by))
        known = [host for host in hosts if host.id != "-"]
        state = known[0].call("GET", "/v1/hosts/state?generation=0&wait=0", kind=HostState)
        assert state.host_certificate.startswith("ssh-ed25519-cert-v01@openssh.com ")
        by.close()
    finally:
        for host in hosts:
            host.client.close()
        process.end()
        issuer.close()


def enrolled(number, host, token):
    """None for whom the token had no use left."""
    try:
        return host.enroll(token, f"web-{number}")
    except Refused as no:
        assert (no.status, no.code) == (403, "bad-token")  # noqa: PT017 - which of them it is is not known
        return None


def rows_of_enrolment(by):
    """The servers that the audit says were enrolled."""
    after = 0
    while rows := by.call("GET", f"/v1/projects/prod/audit?after={after}", kind=AuditRows).rows:
        yield from (
            json.loads(one.body)["server"] for one in rows if one.event == "server.enrolled"
        )
        after = rows[-1].number
