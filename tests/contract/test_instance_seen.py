"""The state of an instance as EC2 says it, and nothing where EC2 of its account cannot be asked."""

import pytest
from aws_world import CORE, MANAGEMENT, SHARED, small_organization

from ostiary.aws.instance_seen import UNKNOWN, InstancesSeen
from ostiary.aws.session import Aws

REGION = "us-east-1"


@pytest.fixture
def site(monkeypatch):
    return small_organization(monkeypatch)


@pytest.fixture
def seen():
    return InstancesSeen(lambda region: Aws(clients=SHARED, region=region), 5.0)


def launched(site):
    ebs, ec2 = (site.aws.client(name, REGION) for name in ("ebs", "ec2"))
    snapshot = ebs.start_snapshot(VolumeSize=4)["SnapshotId"]
    ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=0)
    site.world.clock.advance(5)
    image = ec2.register_image(
        Name="plain",
        Architecture="x86_64",
        VirtualizationType="hvm",
        RootDeviceName="/dev/sda1",
        EnaSupport=True,
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}],
    )["ImageId"]
    made = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    return made["Instances"][0]["InstanceId"]


def test_an_instance_of_our_account_is_seen_to_its_end(site, seen):
    instance = launched(site)
    site.world.clock.advance(60)
    assert seen.state(MANAGEMENT, REGION, instance) == "running"
    site.aws.client("ec2", REGION).terminate_instances(InstanceIds=[instance])
    site.world.clock.advance(60)
    assert seen.state(MANAGEMENT, REGION, instance) in ("shutting-down", "terminated")


def test_one_that_ec2_does_not_know_is_unknown(site, seen):
    assert seen.state(MANAGEMENT, REGION, "i-0123456789abcdef0") == UNKNOWN


def test_of_another_account_or_without_rights_nothing_is_said(site, seen):
    assert seen.state(CORE, REGION, "i-0123456789abcdef0") is None
    assert site.counted("DescribeInstances") == 0
    site.world.switches.denied.add((MANAGEMENT, "ec2:DescribeInstances"))
    assert seen.state(MANAGEMENT, REGION, "i-0123456789abcdef0") is None


def test_without_credentials_nothing_is_said(site, monkeypatch, seen):
    site.cloud.keys.clear()
    assert seen.state(MANAGEMENT, REGION, "i-0123456789abcdef0") is None
