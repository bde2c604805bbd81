"""O8: two operators import the same file at once. One AMI comes of it, whoever is told to try again."""

import threading

import pytest
from gateway_world import GatewayWorld

from ostiary.doors.gateway.importing.watching import Patience
from ostiary.errors import LeaseHeld, OstiaryError
from ostiary.sandbox.appliance.make import DiskSpec

TWO = (DiskSpec(), DiskSpec(20 * 1024 * 1024, noise=1_000_000, every=1))

PATIENT = Patience(first=0.0, every=0.0, unseen=5.0, still=5.0)


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    return GatewayWorld(tmp_path, monkeypatch)


def at_once(gateway, route, stores):
    """(AMIs, errors) of one run with each store, begun together."""
    path = gateway.ova(disks=TWO)
    together = threading.Barrier(len(stores))
    made, refused = [], []

    def operator(reached):
        together.wait()
        try:
            made.append(gateway.run(path, route, reached=reached, patience=PATIENT))
        except OstiaryError as error:
            refused.append(error)

    threads = [threading.Thread(target=operator, args=(gateway.again(one),)) for one in stores]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return path, made, refused


@pytest.mark.parametrize("route", ["import-image", "import-snapshot", "ebs-direct"])
def test_with_one_run_store_the_second_is_told_so(gateway, route):
    gateway.world.switches.latency = 0.01
    path, made, refused = at_once(gateway, route, ["runs", "runs"])
    assert len(made) + len(refused) == 2
    for error in refused:
        assert isinstance(error, LeaseHeld)
        assert error.what == "cannot import oag.ova: another run is importing it"
    again = gateway.run(path, route, reached=gateway.again())
    assert again.reused
    assert {one.image_id for one in made} == {again.image_id}
    assert len(gateway.images.images) == 1


@pytest.mark.parametrize("route", ["import-image", "import-snapshot", "ebs-direct"])
def test_with_a_run_store_each_one_ami_comes_of_it(gateway, route):
    gateway.world.switches.latency = 0.005
    path, made, refused = at_once(gateway, route, ["runs", "of another operator"])
    assert made, [str(one) for one in refused]
    for store in ("runs", "of another operator"):
        again = gateway.run(path, route, reached=gateway.again(store))
        assert again.reused
        assert {one.image_id for one in made} == {again.image_id}
    images = gateway.images
    assert len(images.images) == 1
    assert set(images.snapshots) == set(again.snapshots)
    assert not gateway.world.aws.uploads.open
    assert len(images.tasks) == {"import-image": 1, "import-snapshot": 2, "ebs-direct": 0}[route]
    assert not refused, [str(one) for one in refused]
