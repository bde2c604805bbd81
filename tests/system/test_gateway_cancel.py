"""Giving an import up: everything that it left goes, at whatever point it was, and nothing else does."""

import threading

import pytest
from gateway_world import GatewayWorld

from ostiary.doors.gateway.importing.cancel import cancel
from ostiary.errors import Conflict, Interrupted, LeaseHeld, NotFound
from ostiary.plan.lease import Lease
from ostiary.sandbox.appliance.make import DiskSpec

TWO = (DiskSpec(), DiskSpec(40 * 1024 * 1024, noise=1_000_000, every=1))
BUCKET = "ostiary-gateway-100000000001-us-east-1"


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    return GatewayWorld(tmp_path, monkeypatch)


def stopped(gateway, route, when):
    """An import that was stopped at the first step that ``when`` is true of."""
    stop = threading.Event()

    def on_step(step):
        if when(step):
            stop.set()

    steps = gateway.steps
    gateway.steps = type("Steps", (list,), {"append": lambda _, step: on_step(step)})()
    path = gateway.ova(disks=TWO)
    with pytest.raises(Interrupted):
        gateway.run(path, route, stop=stop)
    gateway.steps = steps
    return path


def sending(step):
    return step.what in ("uploading", "sending") and step.done > 9_000_000


def watching(step):
    return step.text.startswith("import-")


def nothing_left(gateway):
    images = gateway.images
    assert not images.images
    assert not images.snapshots
    assert not gateway.world.aws.uploads.open
    if gateway.calls("CreateBucket"):
        assert gateway.client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


@pytest.mark.parametrize("route", ["import-image", "import-snapshot", "ebs-direct"])
def test_while_it_is_sent(gateway, route):
    path = stopped(gateway, route, sending)
    assert cancel(gateway.again(), "oag.ova")
    nothing_left(gateway)
    assert gateway.run(path, route, reached=gateway.again()).image_id


@pytest.mark.parametrize("route", ["import-image", "import-snapshot"])
def test_while_the_service_is_at_it(gateway, route):
    gateway.images.pace = 60
    stopped(gateway, route, watching)
    (first, *_) = gateway.images.tasks.values()
    lines = cancel(gateway.again(), first.id)
    assert f"task {first.id}" in lines
    assert {one.status for one in gateway.images.tasks.values()} <= {"deleting", "deleted"}
    nothing_left(gateway)


@pytest.mark.parametrize("route", ["import-image", "import-snapshot"])
def test_when_the_service_came_to_its_end_meanwhile(gateway, route):
    """Nobody was told of the AMI, so nobody would ever remove it."""
    gateway.images.pace = 60
    stopped(gateway, route, watching)
    gateway.images.pace = 0.0
    lines = cancel(gateway.again(), "oag.ova")
    assert any(line.startswith(("AMI ", "snapshot ")) for line in lines)
    nothing_left(gateway)


def test_what_is_done_is_not_undone_by_the_name_of_its_task(gateway):
    made = gateway.run(gateway.ova(), "import-image")
    with pytest.raises(Conflict, match=f"it became {made.image_id}"):
        cancel(gateway.again(), made.task)
    with pytest.raises(NotFound):
        cancel(gateway.again(), "oag.ova")
    assert set(gateway.images.snapshots) == set(made.snapshots)


def test_a_task_that_was_begun_elsewhere(gateway):
    gateway.images.pace = 60
    stopped(gateway, "import-image", watching)
    (task,) = gateway.images.tasks.values()
    assert cancel(gateway.again("of another operator"), task.id) == [f"task {task.id}"]


def test_while_a_run_is_at_it(gateway):
    stopped(gateway, "import-image", sending)
    store = gateway.reached.store
    (record,) = [name for name in store.names("gateway/imports/") if name.endswith(".json")]
    key = record.rpartition("/")[2].removesuffix(".json")
    with Lease(store, f"gateway-import-{key[:16]}"), pytest.raises(LeaseHeld):
        cancel(gateway.again(), "oag.ova")


def test_a_bucket_that_somebody_removed(gateway):
    stopped(gateway, "import-image", sending)
    gateway.world.aws.uploads.open.clear()
    s3 = gateway.client("s3")
    for one in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        s3.delete_object(Bucket=BUCKET, Key=one["Key"])
    s3.delete_bucket(Bucket=BUCKET)
    lines = cancel(gateway.again(), "oag.ova")
    assert not any(line.startswith(("object", "upload")) for line in lines)
