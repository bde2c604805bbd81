"""kill -9 of a real process that sends blocks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from disk_shapes import BLOCK, MIB, as_vmdk, made_raw

from ostiary.aws.ebs_direct import EbsDirect
from ostiary.aws.session import Aws
from ostiary.sandbox.seeds import acme
from ostiary.sandbox.serve import Listeners
from ostiary.sandbox.world import World

KILLABLE = Path(__file__).with_name("killable_send.py")
FULL = os.environ.get("OSTIARY_CHAOS") == "full"
CONNECTIONS = 4
RAW = made_raw(10 * MIB, seed=2, holes=0.05)
BLOCKS = sum(any(RAW[at : at + BLOCK]) for at in range(0, len(RAW), BLOCK))
# Two of each block, two of the first append and of the completion: as many there are at least.
MOMENTS = 2 * BLOCKS + 4
POINTS = MOMENTS if FULL else 4


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The sandbox over HTTPS, and what a client has to have in its environment."""
    folder = tmp_path_factory.mktemp("served")
    world = World()
    key, secret = acme(world).admin_key
    listeners = Listeners(world, folder)
    listeners.start()
    (folder / "disk.vmdk").write_bytes(as_vmdk(RAW))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AWS_ENDPOINT_URL": listeners.aws_url,
        "AWS_CA_BUNDLE": str(listeners.ca_file),
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    yield world, env, folder / "disk.vmdk"
    listeners.stop()


def puts(world):
    return sum(one[1] == "PutSnapshotBlock" for one in world.calls)


def held(world, env, snapshot_id, monkeypatch):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    world.clock.advance(1)
    data = bytearray(len(RAW))
    for index, block in EbsDirect(Aws(region="us-east-1"), "us-east-1").blocks(snapshot_id):
        data[index * BLOCK : (index + 1) * BLOCK] = block
    return bytes(data)


@pytest.mark.chaos
@pytest.mark.parametrize("point", [1 + number * MOMENTS // POINTS for number in range(POINTS)])
def test_a_killed_run_goes_on_where_it_was(served, tmp_path, monkeypatch, point):
    """O1 of the direct route: what was in flight, and acknowledged during one append, goes twice, and nothing else."""
    world, env, disk = served
    world.calls.clear()

    def run(at):
        command = [sys.executable, str(KILLABLE), disk, tmp_path / "runs", f"token{point}", str(at)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=env
        )

    before = len(world.aws.images.snapshots)
    killed = run(point)
    assert killed.returncode == -9, (killed.returncode, killed.stderr)
    again = run(0)
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert told["sent"] + told["again"] == BLOCKS
    assert 0 <= puts(world) - BLOCKS <= 2 * CONNECTIONS
    assert len(world.aws.images.snapshots) == before + 1
    assert held(world, env, told["snapshot"], monkeypatch) == RAW
    if point == 1:
        assert told["moments"] >= MOMENTS
    if point == 1 or FULL:
        third = json.loads(run(0).stdout)
        assert (third["snapshot"], third["sent"]) == (told["snapshot"], 0)
