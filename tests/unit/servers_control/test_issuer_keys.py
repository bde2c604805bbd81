"""The keys of issuers: whoever asks them asks for all, not for long, and not again soon after they failed."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from joserfc import jwk

from ostiary.doors.servers.control.issuer_keys import (
    KEPT,
    LEAST_BETWEEN,
    MOST_ASKING,
    MOST_PATIENT,
    IssuerKeys,
)
from ostiary.errors import Unreachable

ONE = "https://one.example"


class Issuers:
    """Any number of issuers, each with key ``k1``; while ``go`` is not set they keep who asks waiting."""

    def __init__(self):
        self.go = threading.Event()
        self.go.set()
        self.asked = []
        self.now = 0.0
        self.said = None
        self.key = jwk.ECKey.generate_key("P-256", {"kid": "k1"}).as_dict(private=False)

    def answer(self, request):
        issuer = f"https://{request.url.host}"
        self.asked.append(issuer)
        assert self.go.wait(20)
        if self.said is not None:
            return httpx2.Response(200, content=self.said)
        found = {"issuer": issuer, "jwks_uri": f"{issuer}/keys", "keys": [self.key]}
        return httpx2.Response(200, content=json.dumps(found).encode())

    def keys(self, **more):
        http = httpx2.Client(transport=httpx2.MockTransport(self.answer))
        return IssuerKeys(http, lambda: self.now, **more)


@pytest.fixture
def issuers():
    issuers = Issuers()
    yield issuers
    issuers.go.set()


def why(keys, issuer=ONE, kid="k1"):
    with pytest.raises(Unreachable) as no:
        keys.key(issuer, kid)
    assert no.value.code == "issuer"
    return no.value.why


def until(there):
    pause = threading.Event()
    for _ in range(500):
        if there():
            return
        pause.wait(0.01)
    raise AssertionError("it never came")


def test_a_failure_is_remembered_for_a_while_and_good_keys_are_not_forgotten_for_it(issuers):
    keys = issuers.keys()
    issuers.said = b"<html>"
    first = why(keys)
    assert why(keys) == first
    assert len(issuers.asked) == 1
    issuers.said = None
    issuers.now += LEAST_BETWEEN + 1
    assert keys.key(ONE, "k1") is not None
    issuers.now += LEAST_BETWEEN + 1
    issuers.said = b"<html>"
    asked = len(issuers.asked)
    for _ in range(3):
        assert why(keys, kid="k2") == first
        assert keys.key(ONE, "k1") is not None
    assert len(issuers.asked) == asked + 1
    issuers.now += KEPT
    assert why(keys) == first, "a key that may have been withdrawn is believed no more"


@pytest.mark.parametrize(
    "said",
    [
        b"[" * 100_000,
        json.dumps({"issuer": ONE, "jwks_uri": "https://[", "keys": []}).encode(),
        json.dumps({"issuer": ONE, "jwks_uri": "https://one.example/", "keys": ["x"]}).encode(),
        json.dumps({"issuer": ONE, "jwks_uri": "https://one.example/", "keys": 5}).encode(),
        json.dumps({"issuer": ONE, "jwks_uri": "https://one\x01/", "keys": []}).encode(),
    ],
)
def test_whatever_an_issuer_says_is_no_fault_of_ours(issuers, said):
    keys = issuers.keys()
    issuers.said = said
    assert why(keys)
    assert why(keys)


def test_an_issuer_at_a_port_that_there_is_not():
    with httpx2.Client() as http:
        keys = IssuerKeys(http)
        assert why(keys, "https://127.0.0.1:99999")
        assert why(keys, "https://127.0.0.1:99999")


def test_an_issuer_that_does_not_answer_in_time(issuers):
    issuers.go.clear()
    keys = issuers.keys(seconds=0.3)
    assert "too long to answer in all" in why(keys)
    assert "too long to answer in all" in why(keys)
    assert len(issuers.asked) == 1


def test_who_is_early_enough_waits_for_who_asks_and_has_the_same_keys(issuers):
    issuers.go.clear()
    keys = issuers.keys(patience=20)
    with ThreadPoolExecutor(1 + MOST_PATIENT) as pool:
        found = [pool.submit(keys.key, ONE, "k1") for _ in range(1 + MOST_PATIENT)]
        until(lambda: issuers.asked and keys._asking[ONE].patient == MOST_PATIENT)
        assert why(keys) == "it is being asked just now"
        issuers.go.set()
        assert all(one.result() is not None for one in found)
    assert len(issuers.asked) == 2


def test_nobody_waits_for_long(issuers):
    issuers.go.clear()
    keys = issuers.keys(patience=0.1)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(keys.key, ONE, "k1")
        until(lambda: issuers.asked)
        for _ in range(2 * MOST_PATIENT):
            assert why(keys) == "it is being asked just now"
        issuers.go.set()
        assert found.result() is not None


def test_many_slow_issuers_leave_room_for_those_whose_keys_are_known(issuers):
    keys = issuers.keys()
    assert keys.key(ONE, "k1") is not None
    issuers.go.clear()
    with ThreadPoolExecutor(MOST_ASKING) as pool:
        for number in range(MOST_ASKING):
            pool.submit(keys.key, f"https://slow{number}.example", "k1")
        until(lambda: len(keys._asking) == MOST_ASKING)
        assert "so many issuers" in why(keys, "https://another.example")
        assert keys.key(ONE, "k1") is not None
        issuers.go.set()
    assert keys.key("https://another.example", "k1") is not None, "it is not remembered as failed"
