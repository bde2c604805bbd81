"""Buckets, turns and jitter."""

import threading
import time

import pytest

from ostiary.aws.credentials import Credentials
from ostiary.aws.pacing import LONGEST_WAIT, Bucket, Pace, Pacing, full_jitter
from ostiary.errors import Interrupted


def test_a_burst_is_free_and_what_follows_is_paced():
    bucket = Bucket(Pace(rate=0.01, burst=3))
    assert [bucket.take() for _ in range(3)] == [0, 0, 0]
    waits = [bucket.take() for _ in range(2)]
    assert waits == pytest.approx([100, 200], abs=5)


def test_a_drained_bucket_has_no_burst_left():
    bucket = Bucket(Pace(rate=0.01, burst=3))
    bucket.drain()
    assert bucket.take() == pytest.approx(100, abs=5)


def test_accounts_do_not_share_and_services_do_not_either():
    pacing = Pacing(threading.Event())
    buckets = {id(pacing.bucket(a, s)) for a in ("1", "2") for s in ("iam", "sts")}
    assert len(buckets) == 4
    assert pacing.bucket("1", "iam") is pacing.bucket("1", "iam")


def test_at_most_four_are_in_flight_in_an_account():
    pacing = Pacing(threading.Event())
    inside, most, lock = [0], [0], threading.Lock()

    def work():
        with pacing.turn("111122223333", "iam"):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.01)
            with lock:
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 4


def test_a_stop_ends_every_wait():
    pacing = Pacing(threading.Event())
    threading.Timer(0.05, pacing.stopping.set).start()
    started = time.monotonic()
    with pytest.raises(Interrupted):
        pacing.wait(30)
    assert time.monotonic() - started < 1


def test_jitter_spreads_over_the_whole_wait():
    waits = [full_jitter(20) for _ in range(2000)]
    assert 0 <= min(waits) < 0.2 < LONGEST_WAIT * 0.9 < max(waits) <= LONGEST_WAIT
    bins = [0] * 80
    for wait in waits:
        bins[min(79, int(wait / 0.1))] += 1
    assert max(bins) <= 0.05 * len(waits)


def test_secrets_are_not_shown():
    shown = repr(Credentials("ASIAX", "sekret", "tokn", 1.0))
    assert "sekret" not in shown
    assert "tokn" not in shown
