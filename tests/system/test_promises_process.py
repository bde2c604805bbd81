"""Promises about the process: killed, stopped, paused, watched. Each runs the real command against a served world."""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from fleet import Command, Ended, Fleet, Row, fleet, mutates, serving
from promise import FULL, at_call, converged

from ostiary.errors import Conflict, Interrupted, LeaseHeld, TamperedPlan
from ostiary.plan.resume import list_runs, show_run
from ostiary.plan.runs import FolderStore
from ostiary.sandbox.aws.state import Session

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200 if FULL else 300)]

APPLY = ("apply", "--yes", "--no-proof")
SIZE = 4 if FULL else 3
WRITES = 10 * SIZE + 18  # mutating calls of one apply, about
POINTS = 200 if FULL else 4  # moments of a kill; those inside the journal: unit/plan/test_kill.py
KILLS = [
    (1 + number * (WRITES - 4) // POINTS, ("before its effect", "after its effect")[number % 2])
    for number in range(POINTS)
]


@pytest.fixture
def world(tmp_path, monkeypatch) -> Fleet:
    made = fleet(tmp_path, SIZE)
    for name, value in made.env().items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def ostiary(world):
    with serving(world) as command:
        yield command


def wait_for(happens, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


@pytest.mark.parametrize(("point", "moment"), KILLS)
def test_a3_a_killed_apply_is_made_good_by_the_next(world, ostiary, point, moment):
    """Killed at the ``point``-th mutating call, before its effect or between effect and answer."""
    process = ostiary.start(*APPLY)

    def die() -> None:
        if moment == "before its effect":
            process.kill()
        else:
            world.world.switches.lost_answer_share = 1.0
            threading.Timer(0.03, process.kill).start()

    world.watch(at_call(point, die, mutates))
    assert ostiary.wait(process).code == -signal.SIGKILL
    world.world.switches.lost_answer_share = 0.0
    made_good(world, ostiary)
    store = FolderStore(world.folder / "runs")
    assert {one.state for one in list_runs(store, "fleet")} <= {"finished", "settled"}


class Interrupting:
    """An apply that is sent a signal when its writing is well under way; from then on AWS is as slow as ``then``."""

    def __init__(self, world: Fleet, ostiary: Command, number: int, *, then: float = 0.2) -> None:
        self.process = ostiary.start(*APPLY)
        self.sent = 0.0
        left = [WRITES // 3]

        def on_call(row: Row) -> None:
            if mutates(row):
                left[0] -= 1
                world.world.switches.latency = 0.2 if left[0] > 0 else then
                if left[0] == 0:
                    self.sent = time.time()
                    self.process.send_signal(number)

        world.watch(on_call)


def steps_of(world: Fleet) -> list[dict]:
    """The journal of the only run, line by line; what a kill cut off is left out."""
    (journal,) = _journals(world)
    return [json.loads(line) for line in journal.read_bytes().split(b"\n")[:-1]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a4_one_signal_finishes_what_is_in_flight(world, ostiary, number):
    run = Interrupting(world, ostiary, number)
    ended = ostiary.wait(run.process)
    assert time.time() - run.sent < 30
    assert ended.code == Interrupted.exit_code
    begun = [step for step in steps_of(world) if step["type"] == "intent"]
    latest = max(datetime.fromisoformat(step["time"]).timestamp() for step in begun)
    assert latest - run.sent < 1.0, "nothing new begins"
    assert "finishing what is in flight" in ended.stderr
    assert "ostiary: error: interrupted" in ended.stderr
    (why,) = [line for line in ended.stderr.splitlines() if line.strip().startswith("why:")]
    assert "done" in why
    assert "left" in why
    made_good(world, ostiary)


def test_a4_a_second_signal_is_a_kill(world, ostiary):
    run = Interrupting(world, ostiary, signal.SIGINT, then=20.0)
    wait_for(lambda: run.sent)
    time.sleep(0.5)
    run.process.send_signal(signal.SIGINT)
    started = time.monotonic()
    ended = ostiary.wait(run.process)
    assert time.monotonic() - started < 5
    assert ended.code == -signal.SIGINT
    made_good(world, ostiary)


def made_good(world: Fleet, ostiary: Command) -> None:
    """The next apply brings everything in line, and nothing is left to do."""
    world.world.switches.latency = 0.0
    world.world.calls = []
    again = ostiary.run(*APPLY)
    assert again.code == 0, again.stderr
    converged(world)


def test_a10_a_second_apply_is_refused_at_once_and_a_stopped_holder_writes_nothing(world, ostiary):
    first = ostiary.start(*APPLY)
    answers: list[Ended] = []
    try:
        world.watch(at_call(WRITES // 3, lambda: first.send_signal(signal.SIGSTOP), mutates))
        wait_for(lambda: _state(first) == "T")
        start = _seconds(lambda: ostiary.run("runs", "list"))
        took = _seconds(lambda: answers.append(ostiary.run(*APPLY)))
        (second,) = answers
        assert second.code == LeaseHeld.exit_code
        assert took - start < 2
        for named in ("held by", f"pid {first.pid}", "since"):
            assert named in second.stderr
        if FULL:  # the lease's 60 s and the 5 s for clocks that differ have to pass
            taken = time.monotonic()
            while (over := ostiary.run(*APPLY)).code == LeaseHeld.exit_code:
                assert time.monotonic() - taken < 75
                time.sleep(2)
            assert over.code == 0, over.stderr
            converged(world)
            world.world.calls = []
            first.send_signal(signal.SIGCONT)
            ended = ostiary.wait(first)
            assert ended.code == LeaseHeld.exit_code
            assert len(world.calls().mutating) <= 24 + 12, (
                "at most what was in flight when it was stopped"
            )
    finally:
        first.kill()
    if not FULL:  # killed: a dead process of this machine holds nothing
        ostiary.wait(first)
        made_good(world, ostiary)


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _state(process: subprocess.Popen[str]) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a12_one_flipped_byte_of_a_saved_plan(world, ostiary, tmp_path):
    file = tmp_path / "plan.json"
    assert ostiary.run("plan", "--save", str(file)).code == 0
    whole = file.read_bytes()
    spots = range(len(whole)) if FULL else random.Random(12).sample(range(len(whole)), 3)
    world.calls()
    for spot in list(spots)[: 40 if FULL else 3]:
        changed = bytearray(whole)
        changed[spot] ^= 0x01
        file.write_bytes(changed)
        ended = ostiary.run("apply", str(file), "--yes")
        assert ended.code == TamperedPlan.exit_code, (spot, ended.stderr)
    assert world.calls().rows == []
    file.write_bytes(whole)
    assert ostiary.run("apply", str(file), "--yes").code == 0


def test_a12_secrets_are_in_nothing_that_is_kept_or_shown(world, ostiary, tmp_path):
    """Twelve kinds of secret are planted; plan, journal, logs, command lines and tracebacks hold none of them."""
    env = ostiary.env
    planted = {
        "okta token": env["OKTA_CLIENT_TOKEN"],
        "secret key": env["AWS_SECRET_ACCESS_KEY"],
        "unused token": "00ZcanaryCanaryCanaryCanaryCanaryCanary001",
        "proxy password": "canary-Proxy-002",
        "unused aws token": "canary-SessionToken-003",
        "private key": "canary-PrivateKey-004",
        "external id": "canary-ExternalId-005",
        "web identity": "canary-WebIdentity-006",
    }
    env |= {
        "OSTIARY_OKTA_TOKEN_OTHER": planted["unused token"],
        "HTTPS_PROXY": f"http://someone:{planted['proxy password']}@localhost:9",
        "OKTA_CLIENT_PRIVATEKEY": planted["private key"],
        "CANARY_EXTERNAL_ID": planted["external id"],
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": planted["web identity"],
    }
    world.estate_file.write_text(
        world.estate_file.read_text().replace(
            "reach: {", 'reach: {external_id: "${env:CANARY_EXTERNAL_ID}", '
        )
    )
    passwords = [f"Correct-Horse-{number}" for number in range(6)]
    seen: list[str] = []
    watching = threading.Event()
    told: list[str] = []

    def look() -> None:
        while not watching.wait(0.02):
            seen.append(_command_lines())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    plan = tmp_path / "saved.json"
    for command in (
        ("plan", "--save", str(plan), "--json"),
        ("--debug", "apply", str(plan), "--yes", "--json"),
        ("doctor",),
    ):
        ended = ostiary.run(*command)
        told += [ended.stdout, ended.stderr]
    # A traceback: every call is refused, with and without --debug.
    world.cloud.keys[world.admin_key[0]] = type(world.cloud.keys[world.admin_key[0]])(
        world.admin_key[0], "another", "100000000001", "admin", 0.0
    )
    for command in (("--debug", "plan"), ("plan",)):
        ended = ostiary.run(*command)
        assert ended.code
        told += [ended.stdout, ended.stderr]
    assert any("Traceback" in text for text in told)
    watching.set()
    watcher.join()
    sessions = [key for key in world.cloud.keys.values() if isinstance(key, Session)]
    assert sessions, told
    planted |= {f"session {number}": key.secret for number, key in enumerate(sessions)}
    planted |= {f"session token {number}": key.token for number, key in enumerate(sessions)}
    planted |= {f"password {number}": text for number, text in enumerate(passwords)}
    assert len(planted) >= 12
    kept = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and path != world.folder / "server.key"
    ]
    texts = {str(path): path.read_bytes().decode("latin-1") for path in kept}
    texts |= {"output": "\n".join(told), "command lines": "\n".join(seen)}
    for place, text in texts.items():
        for name, secret in planted.items():
            assert secret not in text, f"{name} in {place}"
    assert any("journals" in place for place in texts)


def _command_lines() -> str:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode("latin-1"))
        except OSError:  # it ended meanwhile
            continue
    return "\n".join(lines)


def _journals(world: Fleet) -> list[Path]:
    return sorted((world.folder / "runs/fleet/journals").iterdir())


def test_a18_a_cut_journal_goes_on_and_a_flipped_one_says_so(world, ostiary):
    process = ostiary.start(*APPLY)
    world.watch(at_call(WRITES // 2, process.kill, mutates))
    ostiary.wait(process)
    (journal,) = _journals(world)
    whole = journal.read_bytes()
    store = FolderStore(world.folder / "runs")
    for cut in range(1, 513):
        journal.write_bytes(whole[:-cut])
        assert show_run(store, "fleet", journal.name).begin
    assert ostiary.run("runs", "show", journal.name).code == 0
    for place in range(0, len(whole) - 1, 7 if FULL else 97):
        changed = bytearray(whole)
        changed[place] ^= 0x01
        journal.write_bytes(changed)
        with pytest.raises(Conflict, match="checksum error"):
            show_run(store, "fleet", journal.name)
    shown = ostiary.run("runs", "show", journal.name)
    assert shown.code == Conflict.exit_code
    assert "plan again" in shown.stderr
    made_good(world, ostiary)  # the world is the state: a damaged journal hinders nobody


@pytest.mark.parametrize("room", range(500, 30_500, 1_500) if FULL else [2_500])
def test_a19_a_full_disk_writes_nothing_that_is_not_written_down(world, ostiary, room):
    """No file may grow beyond ``room`` bytes: what the lease, the key and the journal's first lines need is less."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    ended = ostiary.run(*APPLY, preexec_fn=limit)
    if ended.code == 0:
        assert room > 20_000, "the limit was never met"
        return
    assert "Traceback" not in ended.stderr
    assert "File too large" in ended.stderr
    assert "fix:" in ended.stderr
    there = world.folder / "runs/fleet/journals"
    steps = steps_of(world) if there.exists() and any(there.iterdir()) else []
    written = {step["key"] for step in steps if step["type"] == "intent"}
    assert not written or room > 500
    assert len(_objects(world)) <= len(written), "every object that was made is in the journal"
    made_good(world, ostiary)


def _objects(world: Fleet) -> list[str]:
    found = [f"group {group.name}" for group in world.okta.groups.values() if "#" in group.name]
    found += [f"app {app.label}" for app in world.okta.apps.values() if app.label.startswith("AWS")]
    found += [f"rule {rule.name}" for rule in world.okta.rules.values()]
    for account in world.accounts:
        held = world.cloud.account(account)
        found += [f"{account} {one.name}" for one in held.saml_providers]
        found += [f"{account} {one.name}" for one in held.roles if one.name[0] in "APR"]
    return found


READING = (("drift",), ("doctor",), ("access", "what", "person-1@acme.example"))


def test_a20_what_only_reads_writes_nothing(world, ostiary):
    def only_reads(*command: str) -> None:
        world.calls()
        ended = ostiary.run(*command)
        calls = world.calls()
        assert calls.rows
        assert calls.mutating == [], (command, ended.stderr)
        assert "Traceback" not in ended.stderr

    url = ostiary.env["OKTA_CLIENT_ORGURL"]
    only_reads("plan")
    only_reads("init", "--okta-url", url, "--output", "new.yaml")
    assert (world.folder / "new.yaml").exists()
    assert ostiary.run(*APPLY).code == 0
    for command in READING:
        only_reads(*command)
    second = ostiary.run("apply", "--yes", "--json")
    assert second.code == 0
    assert second.json["results"] == []
    assert world.calls().mutating == []
