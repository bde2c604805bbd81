"""Serials: unique, what bigint and an SSH certificate hold, and those of one moment beside each other in their table."""

import time

from ostiary.doors.servers.control import secret

RANDOM = 1 << 41  # of each millisecond


def test_serials_of_one_moment_stand_together(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 1_795_000_000_123 * 1_000_000)
    made = {secret.new_serial() for _ in range(1000)}
    assert len(made) == 1000
    assert {serial // RANDOM for serial in made} == {1_795_000_000_123 % (1 << 22)}


def test_a_serial_is_positive_and_fits_whatever_the_clock_says(monkeypatch):
    for moment in (0, (1 << 22) - 1, 1 << 22, 1 << 50):
        monkeypatch.setattr(time, "time_ns", lambda moment=moment: moment * 1_000_000)
        assert all(0 < secret.new_serial() < 1 << 63 for _ in range(100))


def test_no_serial_is_zero(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    monkeypatch.setattr(secret.secrets, "randbits", lambda _: 0)
    assert secret.new_serial() == 1
