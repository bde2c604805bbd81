"""O1 and O6: ``kill -9`` in each state of an import. The next run makes it good, once, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import time

import botocore.session
import pytest
from conftest import OSTIARY, Sandbox
from promise import FULL

REGION = "eu-west-1"
MOMENTS = (
    ("import-image", "uploading", 0.0),
    ("import-image", "pending", 0.0),
    ("import-snapshot", "uploading", 0.05),
    ("import-snapshot", "registering", 0.0),
    ("ebs-direct", "verifying", 0.0),
    ("ebs-direct", "sending", 0.0),
    ("ebs-direct", "completing", 0.0),
    ("ebs-direct", "registering", 0.0),
)
MORE = tuple(
    (route, word, delay)
    for route, word in (
        ("import-image", "role"),
        ("import-image", "converting"),
        ("import-image", "uploading"),
        ("import-snapshot", "uploading"),
        ("ebs-direct", "sending"),
        ("ebs-direct", "completing"),
    )
    for delay in (0.02, 0.1)
)


TRIED = MOMENTS + MORE if FULL else MOMENTS


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    sandbox = Sandbox(tmp_path_factory.mktemp("killed"))
    sandbox.up("--switch", "latency=0.01")
    yield sandbox
    sandbox.ostiary("sandbox", "down")


def client(sandbox, service):
    """A client of botocore's, which knows nothing of Ostiary."""
    env = sandbox.described["env"]
    session = botocore.session.Session()
    session.set_credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
    return session.create_client(
        service,
        region_name=REGION,
        endpoint_url=env["AWS_ENDPOINT_URL"],
        verify=env["AWS_CA_BUNDLE"],
    )


def killed_at(sandbox, command, word, delay):
    """Whether it was killed: it may have been too fast."""
    env = {"PATH": os.environ["PATH"], "HOME": str(sandbox.folder), **sandbox.described["env"]}
    process = subprocess.Popen(
        [OSTIARY, *command],
        cwd=sandbox.folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        for line in process.stderr:
            if line.startswith(word):
                time.sleep(delay)
                process.kill()
                break
    return process.returncode == -9


def tasks(ec2):
    """Number of tasks of each route."""
    return {
        "import-image": len(ec2.describe_import_image_tasks()["ImportImageTasks"]),
        "import-snapshot": len(ec2.describe_import_snapshot_tasks()["ImportSnapshotTasks"]),
        "ebs-direct": 0,
    }


def snapshots(ec2):
    return {one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}


@pytest.mark.parametrize("number", range(len(TRIED)))
def test_a_killed_import_is_made_good_by_the_next(world, number):
    route, word, delay = TRIED[number]
    file = f"oag-{number}.ova"
    made = world.ostiary("sandbox", "appliance", file, "--version", str(number + 1))
    assert made.returncode == 0, made.stderr
    command = ("gateway", "import", file, "--route", route, "--region", REGION)
    ec2, s3 = client(world, "ec2"), client(world, "s3")
    before, had = tasks(ec2), snapshots(ec2)
    assert killed_at(world, command, word, delay) or delay
    again = world.ostiary(*command, "--json")
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert tasks(ec2) == {**before, route: before[route] + (route != "ebs-direct")}
    named = [{"Name": "tag:ostiary:appliance-digest", "Values": [told["digest"]]}]
    assert [one["ImageId"] for one in ec2.describe_images(Filters=named)["Images"]] == [told["ami"]]
    assert snapshots(ec2) - had == set(told["snapshots"])
    for bucket in s3.list_buckets()["Buckets"]:
        if "gateway" in bucket["Name"]:
            assert s3.list_objects_v2(Bucket=bucket["Name"])["KeyCount"] == 0
            assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket["Name"])
    third = json.loads(world.ostiary(*command, "--json").stdout)
    assert (third["reused"], third["ami"]) == (True, told["ami"])
