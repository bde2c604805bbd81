import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from memory_store import MemoryStore

from ostiary.errors import LeaseHeld, Unreachable
from ostiary.plan import lease as lease_module
from ostiary.plan.lease import Lease, Whoami, holder_token, refuse_held
from ostiary.plan.runs import FolderStore

ELSEWHERE = Whoami("ada", "host-2", 4711, "another boot")


@pytest.fixture
def store():
    return MemoryStore()


def until_lost(held):
    """What it says when it is held no more."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            held.check()
        except LeaseHeld as error:
            return error
        time.sleep(0.01)
    pytest.fail("it is held for ever")


def until_renewed_for(store, seconds):
    """Until it is held for so much longer than it was at first."""

    def deadline():
        return json.loads(store.get("acme/lease").data)["deadline"]

    first, end = deadline(), time.monotonic() + 10
    while deadline() < first + seconds:
        assert time.monotonic() < end, "it is not renewed"
        time.sleep(0.01)


def test_a_second_is_refused_by_name(store):
    with Lease(store, "acme", who=ELSEWHERE) as first:
        first.check()
        assert holder_token(store, "acme") == first.token
        start = time.monotonic()
        with pytest.raises(LeaseHeld) as caught, Lease(store, "acme"):
            pass
        assert time.monotonic() - start < 2
        with pytest.raises(LeaseHeld, match="pid 4711"):
            refuse_held(store, "acme")
        assert caught.value.why.startswith("held by ada on host-2, pid 4711, since 20")
        assert "within 65 s" in caught.value.fix
    assert holder_token(store, "acme") == ""
    refuse_held(store, "acme")
    with Lease(store, "acme") as again:
        again.check()


def test_other_estates_are_free(store):
    with Lease(store, "acme"), Lease(store, "globex") as other:
        other.check()


def test_one_that_ran_out_is_taken_over_and_its_holder_notices(store, monkeypatch):
    monkeypatch.setattr(lease_module, "SKEW", 0.0)
    with Lease(store, "acme", ttl=0.9, who=ELSEWHERE) as first:
        kept = json.loads(store.get("acme/lease").data)
        store.put("acme/lease", json.dumps(kept | {"deadline": time.time() - 1}).encode())
        with Lease(store, "acme") as second:
            assert "taken over by" in until_lost(first).why
            second.check()
        assert holder_token(store, "acme") == ""


def test_it_is_renewed_while_held(store):
    with Lease(store, "acme", ttl=0.9) as held:
        until_renewed_for(store, 0.9)
        held.check()


def test_a_store_that_cannot_be_reached_ends_it_at_the_deadline(store, monkeypatch):
    def unreachable(*_args):
        raise Unreachable("no route")

    with Lease(store, "acme", ttl=0.9) as held:
        monkeypatch.setattr(store, "swap", unreachable)
        began = time.monotonic()
        held.check()
        assert "ran out" in until_lost(held).why
        assert time.monotonic() - began > 0.6, "not before"
        monkeypatch.undo()


def test_a_renewal_whose_answer_was_lost_counts(store, monkeypatch):
    swap = store.swap

    def lost(name, expected, data):
        swap(name, expected, data)

    monkeypatch.setattr(store, "swap", lost)
    with Lease(store, "acme", ttl=0.9) as held:
        until_renewed_for(store, 0.9)
        held.check()


def test_a_dead_process_of_this_machine_holds_nothing(store):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    here = Whoami.here()
    gone = Lease(store, "acme", who=replace(here, pid=child.pid))
    gone.__enter__()
    with Lease(store, "acme") as taken:
        taken.check()
    gone.__exit__(None, None, None)
    alive = Lease(store, "globex", who=replace(here, pid=os.getppid()))
    with alive, pytest.raises(LeaseHeld), Lease(store, "globex"):
        pass


def test_damaged_is_free(store):
    store.put("acme/lease", b"\x00")
    with Lease(store, "acme") as held:
        held.check()


_HOLDER = """
import sys, time
from pathlib import Path
from ostiary.errors import LeaseHeld
from ostiary.plan.lease import Lease
from ostiary.plan.runs import FolderStore
with Lease(FolderStore(Path(sys.argv[1])), "acme", ttl=0.5) as lease:
    print("held", flush=True)
    sys.stdin.readline()
    try:
        lease.check()
        print("writes", flush=True)
    except LeaseHeld as error:
        print(error.why, flush=True)
"""


def test_a_stopped_holder_writes_nothing_after_a_takeover(tmp_path, monkeypatch):
    monkeypatch.setattr(lease_module, "SKEW", 0.1)
    store = FolderStore(tmp_path)
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        with pytest.raises(LeaseHeld, match=f"pid {holder.pid}"):
            Lease(store, "acme").__enter__()
        time.sleep(0.7)
        with Lease(store, "acme"):
            holder.send_signal(signal.SIGCONT)
            holder.stdin.write("go\n")
            holder.stdin.flush()
            said = holder.stdout.readline()
    assert "ran out" in said or "taken over" in said
