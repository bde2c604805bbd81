"""Whoever waits for a signature is told soon: KMS that throttles, that never answers, that has no turn left."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from aws_world import join, small_organization
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ostiary import connect, connect_control
from ostiary.aws.clients import Clients
from ostiary.aws.kms_key import open_key
from ostiary.aws.pacing import Bucket, Pace, Pacing
from ostiary.aws.session import Aws
from ostiary.errors import Throttled, Unreachable

SHA256 = ec.ECDSA(hashes.SHA256())


@pytest.fixture
def site(monkeypatch):
    return small_organization(monkeypatch)


@pytest.fixture
def create(site):
    def create(**more):
        asked = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"} | more
        made = site.aws.call("kms", "create_key", repeatable=True, **asked)
        return made["KeyMetadata"]["Arn"]

    return create


def test_a_key_is_opened_in_the_region_of_its_arn(site, create):
    opened = connect_control.kms_signers(
        region="eu-west-1", transports=connect.Transports(aws=join)
    )
    arn = create()
    assert ":us-east-1:" in arn
    found, key = opened(arn)
    assert found == key.arn == arn
    key.public_key().verify(key.sign(b"x", SHA256), b"x", SHA256)


def test_throttling_is_not_waited_out(site, create, monkeypatch):
    monkeypatch.setattr(connect_control, "SIGN_WITHIN", 0.6)
    opened = connect_control.kms_signers(
        region="us-east-1", transports=connect.Transports(aws=join)
    )
    _, key = opened(create())
    site.world.switches.throttle_share = 1.0
    started = time.monotonic()
    with pytest.raises(Throttled):
        key.sign(b"x", SHA256)
    assert time.monotonic() - started < 1.5
    assert site.world.calls[-1][1] == "Sign"


def test_a_kms_that_never_answers_is_given_up(site, create, monkeypatch):
    arn = create()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        aws = Aws(region="us-east-1", clients=Clients(patience=0.3))
        started = time.monotonic()
        with pytest.raises(Unreachable) as lost:
            open_key(aws, arn, within=0.5)
        assert lost.value.code == "ReadTimeoutError"
        assert time.monotonic() - started < 2
        aws.close()


def test_who_has_no_turn_in_time_is_refused_and_takes_none():
    pacing = Pacing(threading.Event())
    bucket = pacing.bucket("", "iam")
    taken = [bucket.in_flight.acquire() for _ in range(4)]
    assert all(taken)
    started = time.monotonic()
    with (
        pytest.raises(Throttled, match="wait for their turn"),
        pacing.turn("", "iam", time.monotonic() + 0.1),
    ):
        pass
    assert 0.05 < time.monotonic() - started < 1
    bucket.in_flight.release()
    with pacing.turn("", "iam", time.monotonic() + 0.1):
        pass


def test_a_token_that_comes_too_late_is_not_taken():
    bucket = Bucket(Pace(rate=0.01, burst=1))
    assert bucket.take() == 0
    for _ in range(10):
        with pytest.raises(Throttled):
            bucket.take(time.monotonic() + 0.2)
    assert bucket.take() == pytest.approx(100, abs=5), "the refused took nothing"
