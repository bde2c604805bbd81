"""What stands against an account: a name or a number that is somebody else's is never taken over (G6)."""

from __future__ import annotations

import pytest

from ostiary.doors.servers.agent.accounts_local import account_commands
from ostiary.doors.servers.agent.accounts_lookup import Group, Lookup, User
from ostiary.doors.servers.agent.accounts_owned import Owned
from ostiary.doors.servers.agent.accounts_wanted import (
    LONGEST_GROUP,
    account,
    conflicts,
    is_too_long,
    without_room,
)
from ostiary.doors.servers.wire.host import HostGroup, HostUser

ALICE = HostUser("alice", 60001, 63001, "Alice", groups=("dev", "docker"))


def there(*users, groups=()):
    accounts = [User(name, uid, gid, "", f"/home/{name}", "/bin/bash") for name, uid, gid in users]
    return Lookup(accounts, [Group(*one) for one in groups], ask=False)


@pytest.mark.parametrize(
    ("lookup", "owned", "why"),
    [
        (
            there(("alice", 1001, 1001)),
            Owned(),
            "account alice with UID 1001 exists and is not ours",
        ),
        (there(("alice", 60001, 63001)), Owned(), "exists and is not ours"),
        (there(("bob", 60001, 63001)), Owned(), "UID 60001 belongs to bob"),
        (there(groups=[("staffers", 63001)]), Owned(), "GID 63001 belongs to group staffers"),
        (there(groups=[("alice", 1001)]), Owned(), "a group alice exists with GID 1001"),
        (
            there(groups=[("alice", 63001)]),
            Owned(),
            "a group alice with GID 63001 exists and is not ours",
        ),
        (there(), Owned(users={"alice": 60009}), "made here with UID 60009"),
        (
            there(("alice", 1001, 1)),
            Owned(users={"alice": 60001}),
            "UID 1001 exists and is not ours",
        ),
    ],
)
def test_what_is_somebody_elses_is_a_conflict(lookup, owned, why):
    assert why in conflicts([ALICE], [], owned, lookup)["alice"]


def test_what_is_ours_is_no_conflict():
    lookup = there(("alice", 60001, 63001), groups=[("alice", 63001)])
    for owned in (
        Owned(users={"alice": 60001}, groups={"alice": 63001}),
        Owned(gone={"alice": 60001}, groups={"alice": 63001}),
    ):
        assert conflicts([ALICE], [], owned, lookup) == {}


@pytest.mark.parametrize("number", [0, 5, 999, 65534])
def test_numbers_of_the_system_are_a_conflict(number):
    assert conflicts([HostUser("eve", number, 63001, "")], [], Owned(), there())
    assert conflicts([HostUser("eve", 60001, number, "")], [], Owned(), there())
    assert conflicts([], [HostGroup("eves", number)], Owned(), there())


def test_a_name_or_number_given_twice_is_a_conflict_of_both():
    twice = [ALICE, HostUser("bob", 60001, 63002, "")]
    assert list(conflicts(twice, [], Owned(), there())) == ["alice", "bob"]
    assert list(conflicts([ALICE, ALICE], [], Owned(), there())) == ["alice"]
    both = conflicts([ALICE], [HostGroup("alice", 63100)], Owned(), there())
    assert list(both) == ["alice", "group alice"]
    same_gid = conflicts([ALICE], [HostGroup("dev", 63001)], Owned(), there())
    assert list(same_gid) == ["alice", "group dev"]


def test_groups_of_the_system_are_never_made_or_given():
    assert conflicts([], [HostGroup("docker", 63100)], Owned(), there())
    assert account(ALICE, {"dev"}, {"/bin/bash"}, "/home/alice").groups == (
        "dev",
        "ostiary-managed",
    )


def test_commands_only_where_something_differs():
    wanted = account(ALICE, {"dev"}, {"/bin/bash"}, "/home/alice")
    now = User("alice", 60001, 63001, "Alice", "/home/alice", "/bin/bash")
    assert account_commands(wanted, now, ("dev", "ostiary-managed")) == []
    (command,) = account_commands(wanted, now, ("docker", "ostiary-managed"))
    assert command == ("usermod", "-G", "dev,ostiary-managed", "--", "alice")
    (made,) = account_commands(wanted, None, ())
    assert made[:5] == ("useradd", "-M", "-N", "-g", "63001")
    assert made[-2:] == ("--", "alice")
    (made,) = account_commands(wanted, None, (), own_group=True)
    assert made[:7] == ("useradd", "-M", "-U", "-K", "GID_MIN=63001", "-K", "GID_MAX=63001")


def test_who_would_make_the_group_longer_than_pam_reads_stays_out():
    """Whoever is in it already stays in; of the others the latest."""
    there_already = {f"member{number:05d}" for number in range(LONGEST_GROUP // 20 - 3)}
    new = [HostUser(f"newcom{number:05d}", 60001 + number, 1, "") for number in range(9, -1, -1)]
    old = HostUser("member00000", 99_999, 1, "")
    assert not is_too_long(there_already)
    refused = without_room([*new, old], there_already)
    assert sorted(refused) == [f"newcom{number:05d}" for number in range(3, 10)]
    entering = {user.login for user in new if user.login not in refused}
    assert not is_too_long(there_already | entering)
    assert is_too_long(there_already | entering | {"newcom00003"})
