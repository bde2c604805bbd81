"""A process that ends at any call to AWS, before or after it took effect; the next one goes on, until the AMI is there."""

import gateway_world
import pytest
from gateway_world import GatewayWorld

from ostiary.sandbox.appliance.make import DiskSpec

TWO = (DiskSpec(), DiskSpec(9 * 1024 * 1024, noise=1_000_000, every=1))
MANY = 400


class Killed(BaseException):
    """What no code of ours catches: the end of the process, as far as one process can have several."""


class Wires:
    """Between a process and AWS: cut for good at the ``at``-th call, whose effect there may be or not."""

    def __init__(self):
        self.at, self.seen, self.effect, self.cut = 0, 0, False, False

    def begin(self, at, *, effect):
        self.at, self.seen, self.effect, self.cut = at, 0, effect, False

    def through(self, call):
        self.seen += 1
        if self.cut or (self.at and self.seen >= self.at):
            if self.effect and not self.cut:
                call()
            self.cut = True
            raise Killed
        return call()


@pytest.fixture
def wires(monkeypatch):
    wires = Wires()
    hook, send = gateway_world.aws_hook, gateway_world.aws_send

    def cut_hook(world):
        answer = hook(world)
        return lambda **event: wires.through(lambda: answer(**event))

    def cut_send(world):
        answer = send(world)
        return lambda *asked: wires.through(lambda: answer(*asked))

    monkeypatch.setattr(gateway_world, "aws_hook", cut_hook)
    monkeypatch.setattr(gateway_world, "aws_send", cut_send)
    return wires


@pytest.mark.parametrize("effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("route", ["import-image", "import-snapshot", "ebs-direct"])
def test_each_run_gets_one_call_further(tmp_path, monkeypatch, wires, route, effect):
    gateway = GatewayWorld(tmp_path, monkeypatch)
    gateway.images.pace = gateway.images.settling = 0.0
    path, made, runs = gateway.ova(disks=TWO), None, 0
    while made is None:
        runs += 1
        assert runs < MANY
        wires.begin(runs, effect=effect)
        try:
            made = gateway.run(path, route, reached=gateway.again())
        except Killed:
            continue
    assert runs > 12, "it was killed at many points"
    wires.begin(0, effect=False)
    images = gateway.images
    assert [one.tags["ostiary:appliance-digest"] for one in images.images.values()] == [made.digest]
    assert set(images.snapshots) == set(made.snapshots), "none is left over"
    assert all(one.state == "completed" for one in images.snapshots.values())
    assert len(images.tasks) == {"import-image": 1, "import-snapshot": 2, "ebs-direct": 0}[route]
    assert not gateway.world.aws.uploads.open
    if route != "ebs-direct":
        s3, name = gateway.client("s3"), "ostiary-gateway-100000000001-us-east-1"
        assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 0
        assert s3.get_bucket_tagging(Bucket=name)["TagSet"]
    again = gateway.run(path, route, reached=gateway.again("of another operator"))
    assert (again.image_id, again.reused) == (made.image_id, True)


def test_a_part_is_sent_twice_at_most_where_it_was_in_flight(tmp_path, monkeypatch, wires):
    """O1: what is sent again after each kill is what was under way, one part a worker."""
    gateway = GatewayWorld(tmp_path, monkeypatch)
    gateway.images.pace = 0.0
    noise = DiskSpec(60 * 1024 * 1024, noise=1_000_000, every=1)
    path, workers = gateway.ova(disks=(DiskSpec(), noise)), 4
    parts = -(-path.stat().st_size // (8 * 1024 * 1024))
    kills, made = 0, None
    while made is None:
        wires.begin(14 + 5 * (kills + 1), effect=True)
        try:
            made = gateway.run(path, "import-image", reached=gateway.again())
        except Killed:
            kills += 1
    assert kills > 1
    assert parts <= gateway.calls("UploadPart") <= parts + kills * workers
    assert len(gateway.images.tasks) == 1
