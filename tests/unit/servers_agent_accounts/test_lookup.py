"""Whom a host's NSS does not enumerate (sssd, LDAP) is asked for by name and number, once in each look at the host."""

from __future__ import annotations

import pwd

import pytest

from ostiary.doors.servers.agent.accounts_lookup import Lookup, User


@pytest.fixture
def asked(monkeypatch):
    """The names that NSS was asked for; it knows ann only."""
    found = []

    def getpwnam(name):
        found.append(name)
        if name != "ann":
            raise KeyError(name)
        return pwd.struct_passwd(("ann", "x", 5, 6, "Ann", "/home/ann", "/bin/sh"))

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    return found


def test_nss_is_asked_once_for_a_name_whether_it_knows_it_or_not(asked):
    lookup = Lookup((), (), ask=True)
    for _ in range(3):
        assert lookup.user("ann") == User("ann", 5, 6, "Ann", "/home/ann", "/bin/sh")
        assert lookup.user("bob") is None
    assert asked == ["ann", "bob"]


def test_the_next_look_asks_again(asked):
    for _ in range(2):
        assert Lookup((), (), ask=True).user("bob") is None
    assert asked == ["bob", "bob"]


def test_who_was_enumerated_is_not_asked_for(asked):
    bob = User("bob", 7, 7, "", "/home/bob", "/bin/sh")
    assert Lookup([bob], (), ask=True).user("bob") == bob
    assert asked == []
