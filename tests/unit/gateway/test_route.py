"""``auto`` takes the direct route only for a guest of which everything is known and fine."""

import dataclasses

import pytest

from ostiary.doors.gateway.image.guest import Guest
from ostiary.doors.gateway.image.inspect import inspect
from ostiary.doors.gateway.importing.route import choose
from ostiary.errors import UsageError
from ostiary.sandbox.appliance.make import make_ova


@pytest.fixture(scope="module")
def fine(tmp_path_factory):
    path = tmp_path_factory.mktemp("route") / "oag.ova"
    make_ova(path)
    return inspect(path)


def with_root(found, **changes):
    return dataclasses.replace(found, disks=(dataclasses.replace(found.disks[0], **changes),))


def test_a_guest_that_starts_by_itself_goes_direct(fine):
    assert choose(fine, "auto").name == "ebs-direct"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"drivers": None}, "could not be read"),
        ({"kernels": None}, "could not be read"),
        ({"drivers": ("nvme",)}, "no ena driver"),
        ({"drivers": ()}, "no ena or nvme driver"),
        ({"network": "static"}, "network is static"),
        ({"network": "unknown"}, "network is unknown"),
        ({"fstab": "device"}, "fstab names devices"),
        ({"fstab": "unknown"}, "fstab"),
    ],
)
def test_what_is_lacking_or_unknown_goes_through_vm_import(fine, change, reason):
    guest = dataclasses.replace(fine.disks[0].guest, **change)
    route = choose(with_root(fine, guest=guest), "auto")
    assert route.name == "import-image"
    assert reason in route.reason


def test_nothing_known_of_the_guest(fine):
    assert choose(with_root(fine, guest=Guest()), "auto").name == "import-image"
    assert choose(with_root(fine, boot_mode="unknown"), "auto").name == "import-image"
    assert choose(dataclasses.replace(fine, disks=()), "auto").name == "import-image"


def test_a_parent_speaks_for_the_direct_route(fine):
    guest = dataclasses.replace(fine.disks[0].guest, drivers=None)
    assert choose(with_root(fine, guest=guest), "auto", parent=True).name == "ebs-direct"


@pytest.mark.parametrize("asked", ["import-image", "import-snapshot", "ebs-direct"])
def test_what_is_asked_for_is_taken(fine, asked):
    assert choose(fine, asked).reason == "asked for"


def test_no_such_route(fine):
    with pytest.raises(UsageError, match="no route is named teleport"):
        choose(fine, "teleport")
