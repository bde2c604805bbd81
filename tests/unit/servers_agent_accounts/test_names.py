"""Names and numbers: what useradd would take and we do not (facts/servers.md §2.5, facts/reliability.md G7)."""

from __future__ import annotations

import pytest

from ostiary.doors.servers.agent import names
from ostiary.model import server_access

BAD = [
    *(
        "",
        "root",
        "-rf",
        "a:b",
        "a\nmallory:x:0:0::/:/bin/sh",
        "$(id)",
        "`id`",
        "..",
        ".",
        "0",
        "123",
        "#0",
    ),
    *(
        "a;b",
        "../../etc/x",
        "a/b",
        "%admins",
        "ALL",
        "all",
        "ROOT",
        "Alice",
        "ünï",
        "\u0430lice",
        "a\0b",
        "a\n",
    ),
    *(
        "a" * 33,
        "alice.",
        "alice ",
        " alice",
        "a b",
        "a,b",
        "a\\b",
        "a.b",
        "1a",
        "sudo",
        "wheel",
        "docker",
    ),
    *("ubuntu", "ec2-user", "systemd-network", "ostiary", "nobody", "a\u200b", "\uff41lice"),
]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_is_the_systems_or_no_name_is_refused(name):
    assert names.name_fault(name)


@pytest.mark.parametrize("name", ["alice", "_svc", "a-b", "a_b", "a1", "a" * 32])
def test_a_plain_name_is_taken(name):
    assert names.name_fault(name) == ""


def test_the_host_refuses_at_least_what_the_control_plane_does():
    assert {name for name in server_access.RESERVED if not names.name_fault(name)} == set()


@pytest.mark.parametrize("number", [-1, 0, 1, 499, 999, 65534, 65535, 2**31, 2**32 - 1])
def test_numbers_of_the_system_are_refused(number):
    assert names.number_fault(number)


@pytest.mark.parametrize("number", [1000, 60001, 63001, 65536, 2**31 - 1])
def test_other_numbers_are_taken(number):
    assert names.number_fault(number) == ""


@pytest.mark.parametrize(
    ("number", "whose"),
    [(60000, ""), (60001, "homed"), (60513, "homed"), (60514, ""), (63001, "Dynamic"), (65536, "")],
)
def test_ranges_that_others_may_use_are_known(number, whose):
    assert whose in names.range_of(number)
    assert bool(names.range_of(number)) == bool(whose)


def test_a_comment_cannot_leave_its_field():
    assert names.comment("Ünal, A:0:0\nroot:x:0:0") == "nal  A 0 0 root x 0 0"
    assert len(names.comment("x" * 500)) == names.LONGEST_COMMENT


@pytest.mark.parametrize(
    "path", ["bash", "/bin/../x", "/bin/ba sh", "/bin/bash\n", "/bin/b:sh", ""]
)
def test_what_is_no_path_is_no_shell(path):
    assert not names.is_shell(path)
