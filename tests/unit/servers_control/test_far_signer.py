"""A signer elsewhere: how soon who is refused while it fails, who tries again, and who is told."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from ostiary.doors.servers.control.far_signer import MOST_AT_ONCE, FarSigner
from ostiary.errors import Conflict, Throttled, Unreachable, UsageError
from ostiary.pki import ssh_key
from ostiary.pki.ssh_signature import verify


class Place:
    """Where the key is; ``failure`` is raised instead of opening it."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.public = ssh_key.of(self.key.public_key())
        self.failure = None
        self.tries = 0
        self.now = 1000.0
        self.told = []
        self.signer = FarSigner("ca_1", self.public, self.open, self.told.append, lambda: self.now)

    def open(self):
        self.tries += 1
        if self.failure is not None:
            raise self.failure
        return self.key


@pytest.fixture
def place():
    return Place()


def refused(place):
    with pytest.raises(Unreachable) as failure:
        place.signer.sign(b"x")
    assert failure.value.code == "signing-unavailable"
    return failure.value.why


def test_it_signs_and_opens_once(place):
    for data in (b"one", b"two"):
        verify(place.public, place.signer.sign(data), data)
    assert place.tries == 1
    assert (place.told, place.signer.problem) == ([], "")


def test_after_a_failure_nobody_tries_for_a_while_then_one(place):
    place.failure = Throttled("cannot sign", why="ThrottlingException: Rate exceeded")
    for _ in range(50):
        assert refused(place) == "ThrottlingException: Rate exceeded"
    assert place.tries == 1
    assert "ca_1 does not sign: ThrottlingException" in place.signer.problem
    place.now += 1.0
    for _ in range(50):
        refused(place)
    assert place.tries == 2
    place.now += 1.0
    refused(place)
    assert place.tries == 2, "the rest has doubled"
    place.failure = None
    place.now += 1.0
    place.signer.sign(b"x")
    assert place.signer.problem == ""
    assert [type(one) for one in place.told] == [Throttled, type(None)]


def test_refusals_while_it_fails_are_fast(place):
    place.failure = Conflict("cannot sign", why="DisabledException: key is disabled")
    refused(place)
    took = []
    for _ in range(500):
        started = time.perf_counter()
        refused(place)
        took.append(time.perf_counter() - started)
    assert sorted(took)[494] < 0.05


def test_no_more_than_some_wait_for_a_slow_one():
    held, entered = threading.Event(), threading.Semaphore(0)
    key = ed25519.Ed25519PrivateKey.generate()

    def slow():
        entered.release()
        held.wait(10)
        return key

    signer = FarSigner("ca_1", ssh_key.of(key.public_key()), slow)
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        waiting = [pool.submit(signer.sign, b"x") for _ in range(MOST_AT_ONCE)]
        assert entered.acquire(timeout=5)
        for _ in range(500):
            if signer._in_flight == MOST_AT_ONCE:
                break
            time.sleep(0.01)
        took = []
        for _ in range(20):
            started = time.monotonic()
            with pytest.raises(Unreachable, match="waited for already"):
                signer.sign(b"x")
            took.append(time.monotonic() - started)
        assert sorted(took)[10] < 0.2
        held.set()
        for one in waiting:
            verify(signer.public_key, one.result(10), b"x")
    assert signer._in_flight == 0
    assert signer.problem == "", "that many asked is no failure of the key"


def test_another_key_under_the_same_name_signs_nothing(place):
    place.key = ec.generate_private_key(ec.SECP256R1())
    assert "not the one that hosts trust" in refused(place)
    assert place.told[0].code == "wrong-key"


def test_an_interruption_is_no_failure_and_gives_its_place_back(place):
    place.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        place.signer.sign(b"x")
    place.failure = None
    assert place.signer.sign(b"x")
    assert place.told == []


def test_what_is_too_large_is_the_askers_fault_alone(place):
    with pytest.raises(UsageError, match="KMS signs 4096"):
        place.signer.sign(b"x" * 4097)
    assert place.signer.sign(b"x" * 4096)
    assert place.told == []
