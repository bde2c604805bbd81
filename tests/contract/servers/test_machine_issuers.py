"""An issuer that a project's owner chose, and that takes its time: nobody but its own machine waits for it."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from control_world import ControlWorld, Refused
from pipelines import GITHUB, Router

from ostiary.doors.servers.control import app, issuer_keys
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import Label, Machine, ProjectWanted, Rule
from ostiary.doors.servers.wire.person import MachineSignIn, Session

OWNER = "mallory@acme.example"
SLOW = "https://slow.example"


class Drips(httpx2.SyncByteStream):
    """A byte a second: never late for HTTP."""

    def __iter__(self):
        for _ in range(15):
            yield b" "
            time.sleep(1)


class Slow(Router):
    """``asked`` is when the slow issuer was."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def handle_request(self, request):
        if request.url.host.endswith("slow.example"):
            self.asked.append(time.monotonic())
            return httpx2.Response(200, stream=Drips())
        return super().handle_request(request)


@pytest.fixture
def slow():
    router = Slow()
    yield router
    router.close()


@pytest.fixture
def world(tmp_path, slow, monkeypatch):
    monkeypatch.setattr(app, "FAR_THREADS", 4)
    monkeypatch.setattr(app, "ALIEN_THREADS", 4)
    world = ControlWorld(f"sqlite:///{tmp_path}/control.db", tmp_path, transport=slow)
    world.project("prod", [Rule("group:sre", login=True)])
    world.person(OWNER)
    until = time.time() + 86400
    token = {"audience": "https://control.example"}
    machines = [
        Machine(
            name, "oidc", OWNER, until, issuer=issuer, claims=(Label("sub", "repo:acme"),), **token
        )
        for name, issuer in (("slow", SLOW), ("github", GITHUB))
    ]
    by = world.admin()
    now = by.call("GET", "/v1/projects/prod", kind=admin.Project)
    wanted = ProjectWanted(now.generation, now.settings, now.rules, tuple(machines))
    by.call("PUT", "/v1/projects/prod", wanted, admin.Project)
    yield world
    world.close()


def sign_in(world, name, proof):
    """The status and the words that it is refused with, and the seconds that it took."""
    began = time.monotonic()
    try:
        world.client().call(
            "POST", "/v1/machines/sign-in", MachineSignIn(name, "oidc", proof), Session
        )
    except Refused as no:
        return no.status, no.refusal.why, time.monotonic() - began
    return 200, "", time.monotonic() - began


def strange():
    """Nobody's token: whoever knows the name of a machine can send it."""
    header = json.dumps({"alg": "RS256", "kid": "k"}).encode()
    return f"{base64.urlsafe_b64encode(header).decode().rstrip('=')}.e30.AAAA"


def test_people_sign_in_and_hosts_enroll_while_an_issuer_takes_its_time(world, slow):
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(sign_in, world, "slow", strange()) for _ in range(20)]
        while not slow.asked:
            time.sleep(0.01)
        time.sleep(0.5)
        began = time.monotonic()
        world.person("bob@acme.example", ["sre"])
        world.server("web1")
        assert time.monotonic() - began < 5, "nobody of them waits for it"
        found = [one.result() for one in answers]
    longest = max(seconds for _, _, seconds in found)
    assert longest < issuer_keys.SECONDS + 10, "answered in all"
    assert len(slow.asked) == 1, "one asks for all"
    assert {status for status, _, _ in found} == {503}
    words = [why for _, why, _ in found]
    assert any("took too long to answer in all" in one for one in words), words
    assert any("being asked just now" in one for one in words), words
    status, why, seconds = sign_in(world, "slow", strange())
    assert (status, len(slow.asked)) == (503, 1), "its failure is remembered"
    assert "took too long" in why
    assert seconds < 2
    status, why, _ = sign_in(world, "github", slow.github.token(sub="repo:other"))
    assert status == 403, "others are asked as before"
