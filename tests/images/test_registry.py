"""The AMI registry: what RegisterImage refuses and keeps, what is found, launched and deleted."""

from __future__ import annotations

import pytest


def test_an_image_is_kept_as_it_was_registered(ec2, machine):
    tags = [{"Key": "Name", "Value": "oag"}]
    image_id = machine(
        "Okta Access Gateway (2026.1)",
        BootMode="uefi",
        TpmSupport="v2.0",
        ImdsSupport="v2.0",
        SriovNetSupport="simple",
        TagSpecifications=[
            {"ResourceType": "image", "Tags": tags},
            {"ResourceType": "snapshot", "Tags": [{"Key": "of", "Value": "oag"}]},
        ],
    )
    image = ec2.describe_images(ImageIds=[image_id])["Images"][0]
    wanted = {
        "Name": "Okta Access Gateway (2026.1)",
        "State": "available",
        "Architecture": "x86_64",
        "VirtualizationType": "hvm",
        "BootMode": "uefi",
        "TpmSupport": "v2.0",
        "ImdsSupport": "v2.0",
        "SriovNetSupport": "simple",
        "EnaSupport": True,
        "Public": False,
        "Tags": tags,
    }
    assert {key: image[key] for key in wanted} == wanted
    disk = image["BlockDeviceMappings"][0]["Ebs"]
    assert (disk["VolumeSize"], disk["VolumeType"], disk["DeleteOnTermination"]) == (2, "gp3", True)
    below = ec2.describe_snapshots(SnapshotIds=[disk["SnapshotId"]])["Snapshots"][0]
    assert below["Tags"] == [{"Key": "of", "Value": "oag"}]


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"Name": "ab"}, "InvalidAMIName.Malformed"),
        ({"Name": "a" * 129}, "InvalidAMIName.Malformed"),
        ({"Name": "oag:1"}, "InvalidAMIName.Malformed"),
        ({"RootDeviceName": "/dev/xvda"}, "InvalidBlockDeviceMapping"),
        ({"BootMode": "bios"}, "InvalidParameterValue"),
        ({"ImdsSupport": "v1.0"}, "InvalidParameterValue"),
        ({"Architecture": "amd64"}, "InvalidParameterValue"),
        ({"TpmSupport": "v2.0"}, "InvalidParameterCombination"),
        ({"TpmSupport": "v2.0", "BootMode": "uefi-preferred"}, "InvalidParameterCombination"),
        ({"BootMode": "uefi", "VirtualizationType": "paravirtual"}, "InvalidParameterCombination"),
        ({"DryRun": True}, "DryRunOperation"),
        (
            {
                "TagSpecifications": [
                    {"ResourceType": "image", "Tags": [{"Key": "aws:x", "Value": ""}]}
                ]
            },
            "InvalidParameterValue",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_and_nothing_kept(ec2, machine, refusal, other, code):
    assert refusal(machine, **{"name": "oag"} | _named(other))[0] == code
    assert ec2.describe_images(Owners=["self"])["Images"] == []


def _named(other):
    return {("name" if key == "Name" else key): value for key, value in other.items()}


@pytest.mark.parametrize(
    ("ebs_part", "expected"),
    [
        ({"VolumeSize": 1}, ("InvalidBlockDeviceMapping", "smaller than snapshot")),
        ({"Encrypted": False}, ("InvalidParameter", "encrypted flag")),
        ({"SnapshotId": "snap-0123456789abcdef0"}, ("InvalidSnapshot.NotFound", "does not exist")),
        ({"SnapshotId": "snap-1"}, ("InvalidSnapshotID.Malformed", "Invalid id")),
    ],
)
def test_a_mapping_must_fit_its_snapshot(machine, snapshot, refusal, ebs_part, expected):
    disk = {"SnapshotId": snapshot(3)} | ebs_part
    found = refusal(lambda: machine(BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": disk}]))
    assert (found[0], expected[1] in found[1]) == (expected[0], True)


def test_a_snapshot_that_is_still_written_makes_no_image(ebs, machine, refusal):
    disk = {"SnapshotId": ebs.start_snapshot(VolumeSize=1)["SnapshotId"]}
    mappings = [{"DeviceName": "/dev/sda1", "Ebs": disk}]
    assert refusal(lambda: machine(BlockDeviceMappings=mappings))[0] == "IncorrectState"


def test_a_name_is_taken_once_in_an_account_and_region(machine, refusal):
    first = machine("oag")
    code, message = refusal(lambda: machine("oag"))
    assert (code, first in message) == ("InvalidAMIName.Duplicate", True)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"name": "oag-*"}, ["oag-1", "oag-2"]),
        ({"name": "oag-?", "boot-mode": "uefi"}, ["oag-2"]),
        ({"tag:ostiary:appliance-digest": "aa"}, ["oag-1"]),
        ({"tag-key": "ostiary:*"}, ["oag-1"]),
        ({"ena-support": "true", "state": "available"}, ["oag-1", "oag-2", "other[x]"]),
        ({"name": "other[x]"}, ["other[x]"]),
        ({"name": "OAG-1"}, []),
    ],
)
def test_images_are_found_by_filters(ec2, machine, filters, found):
    tag = {"Key": "ostiary:appliance-digest", "Value": "aa"}
    machine("oag-1", TagSpecifications=[{"ResourceType": "image", "Tags": [tag]}])
    machine("oag-2", BootMode="uefi")
    machine("other[x]")
    asked = [{"Name": name, "Values": [value]} for name, value in filters.items()]
    listed = ec2.describe_images(Owners=["self"], Filters=asked)["Images"]
    assert sorted(one["Name"] for one in listed) == found


def test_strange_filters_and_ids_are_refused(ec2, refusal):
    unknown = [{"Name": "colour", "Values": ["red"]}]
    assert refusal(ec2.describe_images, Filters=unknown)[0] == "InvalidParameterValue"
    code, message = refusal(ec2.describe_images, ImageIds=["ami-0123456789abcdef0"])
    assert code == "InvalidAMIID.NotFound"
    assert message == "The image id '[ami-0123456789abcdef0]' does not exist"
    assert refusal(ec2.describe_images, ImageIds=["ami-x"])[0] == "InvalidAMIID.Malformed"


def test_an_image_is_of_its_account_and_region(ec2, machine, connect, refusal):
    image_id = machine()
    elsewhere = connect("ec2", region="us-east-1")
    assert elsewhere.describe_images(Owners=["self"])["Images"] == []
    assert refusal(elsewhere.deregister_image, ImageId=image_id)[0] == "InvalidAMIID.NotFound"


def test_a_snapshot_in_use_stays_until_the_image_is_gone(ec2, machine, refusal):
    image_id = machine()
    mapped = ec2.describe_images(ImageIds=[image_id])["Images"][0]["BlockDeviceMappings"]
    snapshot_id = mapped[0]["Ebs"]["SnapshotId"]
    code, message = refusal(ec2.delete_snapshot, SnapshotId=snapshot_id)
    assert code == "InvalidSnapshot.InUse"
    assert message == f"The snapshot {snapshot_id} is currently in use by {image_id}"
    ec2.deregister_image(ImageId=image_id)
    ec2.delete_snapshot(SnapshotId=snapshot_id)
    assert refusal(ec2.delete_snapshot, SnapshotId=snapshot_id)[0] == "InvalidSnapshot.NotFound"


def test_deregistering_can_take_the_snapshots_along(ec2, machine):
    image_id = machine()
    answer = ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)
    assert [one["ReturnCode"] for one in answer["DeleteSnapshotResults"]] == ["success"]
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def test_tags_are_put_and_taken_later_too(ec2, machine):
    image_id = machine()
    ec2.create_tags(Resources=[image_id], Tags=[{"Key": "Name", "Value": "oag"}])
    assert ec2.describe_images(ImageIds=[image_id])["Images"][0]["Tags"] == [
        {"Key": "Name", "Value": "oag"}
    ]
    ec2.delete_tags(Resources=[image_id], Tags=[{"Key": "Name"}])
    assert not ec2.describe_images(ImageIds=[image_id])["Images"][0].get("Tags")


def test_tags_are_put_on_all_or_none_and_taken_by_value(ec2, machine, refusal):
    image_id = machine(
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "1"}]}]
    )
    asked = {"Resources": [image_id, "ami-0123456789abcdef0"], "Tags": [{"Key": "b", "Value": "2"}]}
    assert refusal(ec2.create_tags, **asked)[0] == "InvalidAMIID.NotFound"
    many = [{"Key": f"key-{n}", "Value": ""} for n in range(50)]
    assert refusal(ec2.create_tags, Resources=[image_id], Tags=many)[0] == "TagLimitExceeded"
    reserved = [{"Key": "aws:x", "Value": ""}]
    found = refusal(ec2.create_tags, Resources=[image_id], Tags=reserved)
    assert found[0] == "InvalidParameterValue"
    ec2.delete_tags(Resources=[image_id], Tags=[{"Key": "a", "Value": "2"}])
    shown = ec2.describe_images(ImageIds=[image_id])["Images"][0]["Tags"]
    assert shown == [{"Key": "a", "Value": "1"}]


@pytest.mark.parametrize(
    ("image", "instance_type", "expected"),
    [
        ({"EnaSupport": False}, "t3.medium", ("InvalidParameterCombination", "(ENA) is required")),
        ({"BootMode": "uefi"}, "t2.medium", ("Unsupported", "boot mode 'uefi'")),
        ({}, "t4g.medium", ("InvalidParameterValue", "does not match the architecture")),
        ({"Architecture": "arm64"}, "t3.medium", ("InvalidParameterValue", "'arm64' of the")),
        ({}, "t3.gigantic", ("InvalidParameterValue", "InstanceType")),
    ],
)
def test_an_instance_type_must_be_able_to_start_the_image(
    *, ec2, machine, refusal, image, instance_type, expected
):
    asked = {"ImageId": machine(**image), "InstanceType": instance_type}
    found = refusal(ec2.run_instances, MinCount=1, MaxCount=1, **asked)
    assert (found[0], expected[1] in found[1]) == (expected[0], True)


@pytest.mark.parametrize(
    ("image", "instance_type"),
    [
        ({"EnaSupport": False}, "t2.medium"),
        ({"EnaSupport": False}, "i3.large"),
        ({"BootMode": "uefi"}, "t3.medium"),
        ({"BootMode": "uefi-preferred"}, "t2.medium"),
    ],
)
def test_what_fits_is_started(ec2, machine, image, instance_type):
    image_id = machine(**image)
    run = ec2.run_instances(ImageId=image_id, InstanceType=instance_type, MinCount=1, MaxCount=1)
    assert run["Instances"][0]["ImageId"] == image_id
