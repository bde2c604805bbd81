"""One account of the embedded AWS whose clock the test moves, and botocore clients that reach it in process."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from ostiary.sandbox.adapters import aws_hook
from ostiary.sandbox.appliance.make import Appliance, make_ova
from ostiary.sandbox.aws.state import Cloud
from ostiary.sandbox.world import World

ACCOUNT, BUCKET = "111111111111", "acme-import"
STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0
PATHS = "/usr/sbin:/usr/bin:/sbin:/bin"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "vmie.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"sts:Externalid": "vmimport", "aws:SourceAccount": ACCOUNT},
                "ArnLike": {"aws:SourceArn": f"arn:aws:vmie:*:{ACCOUNT}:*"},
            },
        }
    ],
}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
        },
        {
            "Effect": "Allow",
            "Action": [
                "ec2:ModifySnapshotAttribute",
                "ec2:CopySnapshot",
                "ec2:RegisterImage",
                "ec2:Describe*",
            ],
            "Resource": "*",
        },
    ],
}


@pytest.fixture(scope="session")
def tools() -> None:
    missing = [t for t in ("qemu-img", "debugfs", "sfdisk") if shutil.which(t, path=PATHS) is None]
    if missing:
        (pytest.fail if STRICT else pytest.skip)(f"{missing[0]} is needed: requirements/debian.txt")


@pytest.fixture(scope="session")
def ova(tools, tmp_path_factory) -> Callable[..., Path]:
    """``ova(faults=…, firmware=…)``: an appliance, made once for the whole run."""
    folder = tmp_path_factory.mktemp("appliances")
    made: dict[Appliance, Path] = {}

    def ova(**wanted) -> Path:
        appliance = Appliance(**wanted)
        if appliance not in made:
            made[appliance] = make_ova(folder / f"{len(made)}.ova", appliance).path
        return made[appliance]

    return ova


@pytest.fixture
def world() -> World:
    world = World()
    world.clock.freeze()
    world.aws = Cloud(world.clock)
    world.aws.add_organization("aws", "Acme", ACCOUNT)
    return world


@pytest.fixture(scope="session")
def _session():
    return botocore.session.Session()


@pytest.fixture
def connect(world, _session):
    """``connect(service)`` as an administrator; ``policies`` make it a user who may only that."""

    def connect(service: str, policies=("arn:aws:iam::aws:policy/AdministratorAccess",), **options):
        name = f"user-{len(world.aws.account(ACCOUNT).users)}"
        key, secret = world.aws.add_user(ACCOUNT, name, list(policies))
        client = _session.create_client(
            service,
            region_name=options.get("region", "eu-central-1"),
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(
                parameter_validation=False, retries={"total_max_attempts": 1, "mode": "standard"}
            ),
        )
        client.meta.events.register("before-send", aws_hook(world))
        return client

    return connect


@pytest.fixture
def ec2(connect):
    return connect("ec2")


@pytest.fixture
def ebs(connect):
    return connect("ebs")


@pytest.fixture
def upload(world, connect):
    """Puts a file into the bucket of imports, which the first use makes; gives the disk container."""
    s3 = connect("s3")

    def upload(path: Path | bytes, form: str = "ova", key: str = "oag.ova"):
        if not s3.list_buckets()["Buckets"]:
            s3.create_bucket(
                Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
            )
        body = path if isinstance(path, bytes) else path.read_bytes()
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return {"Format": form, "UserBucket": {"S3Bucket": BUCKET, "S3Key": key}}

    return upload


@pytest.fixture
def role(world):
    """The service role, as the User Guide wants it; parts can be other."""

    def role(trust=TRUST, policy=POLICY, **options):
        copy = json.loads(json.dumps(policy))
        return world.aws.add_role(ACCOUNT, "vmimport", trust, inline={"vmimport": copy}, **options)

    return role


@pytest.fixture
def refusal():
    """Makes a call that must fail; gives its code and its message."""

    def refusal(call, **params) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            call(**params)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]

    return refusal


@pytest.fixture
def bytes_of(ebs):
    """Every block of a snapshot as EBS direct gives it back: index -> bytes."""

    def bytes_of(snapshot_id: str) -> dict[int, bytes]:
        found, more = {}, {}
        while True:
            page = ebs.list_snapshot_blocks(SnapshotId=snapshot_id, MaxResults=100, **more)
            for one in page["Blocks"]:
                answer = ebs.get_snapshot_block(
                    SnapshotId=snapshot_id,
                    BlockIndex=one["BlockIndex"],
                    BlockToken=one["BlockToken"],
                )
                found[one["BlockIndex"]] = answer["BlockData"].read()
            if not page.get("NextToken"):
                return found
            more = {"NextToken": page["NextToken"]}

    return bytes_of


@pytest.fixture
def snapshot(ebs, world):
    """The id of a small completed snapshot."""

    def snapshot(size: int = 1) -> str:
        snapshot_id = ebs.start_snapshot(VolumeSize=size)["SnapshotId"]
        ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)
        world.clock.advance(1)
        return snapshot_id

    return snapshot


@pytest.fixture
def machine(ec2, snapshot):
    """``machine(name, …)``: the id of a registered AMI; what is given stands over what is usual."""

    def machine(name: str = "oag", **other):
        asked = {
            "Name": name,
            "Architecture": "x86_64",
            "VirtualizationType": "hvm",
            "RootDeviceName": "/dev/sda1",
            "EnaSupport": True,
        }
        if "BlockDeviceMappings" not in other:
            disk = {"SnapshotId": snapshot(), "VolumeSize": 2, "VolumeType": "gp3"}
            asked["BlockDeviceMappings"] = [{"DeviceName": "/dev/sda1", "Ebs": disk}]
        return ec2.register_image(**asked | other)["ImageId"]

    return machine


@pytest.fixture
def values():
    return {"trust": TRUST, "policy": POLICY, "account": ACCOUNT, "bucket": BUCKET}
