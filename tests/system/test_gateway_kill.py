"""O1: kill -9 of ``ostiary gateway import`` while it uploads."""

import hashlib
import json
import os
import subprocess
import sys
import time

import botocore.session
import pytest

from ostiary.doors.gateway.importing.upload import PART, WORKERS
from ostiary.sandbox.appliance.make import Appliance, DiskSpec, make_ova
from ostiary.sandbox.seeds import acme
from ostiary.sandbox.serve import Listeners
from ostiary.sandbox.world import World

FULL = os.environ.get("OSTIARY_CHAOS") == "full"
POINTS = 20 if FULL else 4
BUCKET = "ostiary-gateway-100000000001-us-east-1"
DISKS = (DiskSpec(), DiskSpec(64 * 1024 * 1024, noise=1_000_000, every=1))
PATIENCE = 60


@pytest.fixture
def served(tmp_path):
    """The sandbox over HTTPS, an appliance of some parts, and the environment of a client."""
    world = World()
    key, secret = acme(world).admin_key
    listeners = Listeners(world, tmp_path)
    listeners.start()
    world.aws.images.pace = 0.0
    make_ova(tmp_path / "oag.ova", Appliance(disks=DISKS))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": listeners.aws_url,
        "AWS_CA_BUNDLE": str(listeners.ca_file),
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    yield world, env, tmp_path
    listeners.stop()


def importing(env, folder):
    words = ("gateway", "import", "oag.ova", "--route", "import-image", "--keep-upload", "--json")
    return subprocess.Popen(
        [sys.executable, "-m", "ostiary", *words],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(world, operation):
    return sum(one[1] == operation for one in world.calls)


def test_every_kill_costs_the_parts_in_flight_at_most(served):
    world, env, folder = served
    file = folder / "oag.ova"
    parts = -(-file.stat().st_size // PART)
    assert parts > WORKERS
    world.switches.latency = 0.02
    kills = 0
    for point in range(POINTS):
        seen = told(world, "UploadPart")
        with importing(env, folder) as process:
            deadline = time.monotonic() + PATIENCE
            # each run gets to another moment: while the parts go out, and shortly after
            while told(world, "UploadPart") - seen <= point % 3 and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            time.sleep(0.013 * point)
            kills += process.poll() is None
            process.kill()
    assert kills, "it was killed at least once on its way"
    world.switches.latency = 0.0
    with importing(env, folder) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    made = json.loads(out)
    assert told(world, "UploadPart") <= parts + kills * WORKERS
    assert len(world.aws.images.tasks) == 1
    assert not world.aws.uploads.open
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert made["digest"] == digest
    assert [one.tags["ostiary:appliance-digest"] for one in world.aws.images.images.values()] == [
        digest
    ]
    assert stored_digests(env) == [digest]


def stored_digests(env):
    """SHA-256 of what is in the bucket, as another client reads it."""

    s3 = botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        verify=env["AWS_CA_BUNDLE"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    return [
        hashlib.sha256(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()).hexdigest()
        for key in keys
    ]
