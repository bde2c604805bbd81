"""A person signs in at Okta and types ``ssh web1``: the whole door, through its commands and OpenSSH's alone."""

from __future__ import annotations

import pytest
from door_world import Door, until

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    with Door(tmp_path_factory.mktemp("door")) as door:
        door.fill()
        yield door


def test_a_person_enters_as_their_own_local_user(door):
    grace = door.people["grace"]
    done = until(lambda: (d := grace.ssh("web1", "id -un", check=False)).returncode == 0 and d)
    assert done.stdout == "grace\n"
