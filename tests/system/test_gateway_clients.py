"""The AWS CLI, unmodified, does by hand what the gateway door does: upload, disk, image, instance."""

from __future__ import annotations

import hashlib
import json
import random

import pytest

pytestmark = pytest.mark.clients
BUCKET, SIZE = "acme-appliances-by-hand", 40 * 1024 * 1024 + 17


@pytest.fixture
def aws(client):
    """``aws(*arguments)``: what the CLI prints, as JSON where it prints any."""
    cli = client("awscli", "aws")

    def aws(*arguments, **env):
        output = cli.run(*map(str, arguments), "--output", "json", **env)
        return json.loads(output) if output.lstrip().startswith(("{", "[")) else output

    aws.cli = cli
    return aws


def refused(aws, *arguments) -> str:
    with aws.cli.start(*map(str, arguments)) as process:
        _, talk = process.communicate(timeout=60)
    assert process.returncode != 0
    return talk


def test_s3_cp_in_parts_and_back(aws):
    source, back = aws.cli.home / "oag.ova", aws.cli.home / "back.ova"
    source.write_bytes(random.Random(3).randbytes(SIZE))
    aws("s3", "mb", f"s3://{BUCKET}")
    aws("s3", "cp", source, f"s3://{BUCKET}/in/oag.ova", "--no-progress")
    head = aws("s3api", "head-object", "--bucket", BUCKET, "--key", "in/oag.ova")
    assert head["ContentLength"] == SIZE
    assert head["ETag"].endswith('-6"')  # parts of 8 MiB
    parts = aws("s3api", "list-multipart-uploads", "--bucket", BUCKET)
    assert not parts or not parts.get("Uploads")
    aws("s3", "cp", f"s3://{BUCKET}/in/oag.ova", back, "--no-progress")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (source, back)]
    assert digests[0] == digests[1]
    aws("s3", "rm", f"s3://{BUCKET}/in/oag.ova")
    aws("s3", "rb", f"s3://{BUCKET}")


def test_too_much_at_once_is_refused_and_the_sandbox_lives(aws, tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(97 * 1024 * 1024)
    aws("s3", "mb", f"s3://{BUCKET}-large")
    where = ("--bucket", f"{BUCKET}-large", "--key", "a")
    talk = refused(aws, "s3api", "put-object", *where, "--body", large)
    assert "413" in talk
    assert not aws("s3api", "list-objects-v2", "--bucket", f"{BUCKET}-large").get("Contents")
    aws("s3", "rb", f"s3://{BUCKET}-large")


def test_a_bucket_of_another_region_is_found(aws):
    aws("s3", "mb", f"s3://{BUCKET}-eu", "--region", "eu-central-1")
    found = aws("s3", "ls", f"s3://{BUCKET}-eu", "--region", "us-east-1")
    assert found == ""
    aws("s3", "rb", f"s3://{BUCKET}-eu", "--region", "eu-central-1")


def test_from_an_empty_disk_to_a_running_instance(aws):
    region = ("--region", "eu-west-1")
    snapshot = aws("ebs", "start-snapshot", "--volume-size", 1, *region)["SnapshotId"]
    aws("ebs", "complete-snapshot", "--snapshot-id", snapshot, "--changed-blocks-count", 0, *region)
    only = ("--snapshot-ids", snapshot, "--query", "Snapshots[0].State", "--output", "text")
    while (
        state := aws.cli.run("ec2", "describe-snapshots", *only, *region).strip()
    ) != "completed":
        assert state == "pending"
    disk = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot, "VolumeType": "gp3"}}]
    wanted = ("--architecture", "x86_64", "--virtualization-type", "hvm", "--ena-support")
    wanted += ("--root-device-name", "/dev/sda1", "--block-device-mappings", json.dumps(disk))
    image = aws("ec2", "register-image", "--name", "by-hand", *wanted, *region)["ImageId"]
    spec = "ResourceType=instance,Tags=[{Key=Name,Value=by-hand}]"
    run = ("--image-id", image, "--instance-type", "m5.large", "--tag-specifications", spec)
    started = aws("ec2", "run-instances", *run, *region)["Instances"][0]["InstanceId"]
    aws("ec2", "wait", "instance-running", "--instance-ids", started, *region)
    query = ("--query", "Reservations[].Instances[].[InstanceId,State.Name,ImageId]")
    named = ("--filters", "Name=tag:Name,Values=by-hand")
    assert aws("ec2", "describe-instances", *named, *query, *region) == [
        [started, "running", image]
    ]
    talk = refused(aws, "ec2", "terminate-instances", "--instance-ids", "i-1", *region)
    assert "InvalidInstanceID.Malformed" in talk
    aws("ec2", "terminate-instances", "--instance-ids", started, *region)
    aws("ec2", "deregister-image", "--image-id", image, *region)
    aws("ec2", "delete-snapshot", "--snapshot-id", snapshot, *region)
