"""EC2 behind the front: its dialect, its refusals, and instances that are what was asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

MANAGEMENT, MEMBER, GOV = "111111111111", "222222222222", "444444444444"
NONE = "0123456789abcdef0"
SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
SSH |= {"IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "administrators"}]}


@pytest.fixture
def ec2(connect, admin):
    return connect("ec2", admin)


@pytest.fixture
def vpc(ec2):
    return ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0][
        "VpcId"
    ]


@pytest.fixture
def subnets(ec2, vpc):
    found = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    return sorted((one["SubnetId"] for one in found), key=str)


@pytest.fixture
def group(ec2, vpc):
    """``group(name)``: the id of a new security group."""

    def group(name="gateway", **more):
        wanted = {"GroupName": name, "Description": "for tests", "VpcId": vpc} | more
        return ec2.create_security_group(**wanted)["GroupId"]

    return group


@pytest.fixture
def image(connect, admin, world, ec2):
    """An AMI with a disk of 4 GiB from a snapshot and one of 2 GiB beside it."""
    ebs = connect("ebs", admin)
    found = []
    for size in (4, 2):
        snapshot = ebs.start_snapshot(VolumeSize=size)["SnapshotId"]
        ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=0)
        found.append(snapshot)
    world.clock.advance(5)
    return ec2.register_image(
        Name="oag",
        Architecture="x86_64",
        VirtualizationType="hvm",
        RootDeviceName="/dev/sda1",
        EnaSupport=True,
        BootMode="uefi",
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": found[0], "VolumeType": "gp3"}},
            {
                "DeviceName": "/dev/sdf",
                "Ebs": {"SnapshotId": found[1], "VolumeType": "gp2", "DeleteOnTermination": False},
            },
        ],
    )["ImageId"]


@pytest.fixture
def template(ec2, image, group):
    """``template(**more)``: the id of a launch template."""

    def template(**more):
        data = {
            "ImageId": image,
            "InstanceType": "m5.large",
            "EbsOptimized": True,
            "DisableApiTermination": True,
            "Monitoring": {"Enabled": True},
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
            "SecurityGroupIds": [group()],
            "BlockDeviceMappings": [
                {
                    "DeviceName": "/dev/sda1",
                    "Ebs": {"VolumeType": "gp3", "VolumeSize": 30, "Encrypted": True},
                }
            ],
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": [{"Key": "from", "Value": "template"}]}
                for kind in ("instance", "volume")
            ],
        }
        answer = ec2.create_launch_template(
            LaunchTemplateName="gateway", LaunchTemplateData=data | more
        )
        return answer["LaunchTemplate"]["LaunchTemplateId"]

    return template


@pytest.fixture
def run(ec2, image):
    """``run(**wanted)``: the first instance of a launch, as RunInstances shows it."""

    def run(**wanted):
        if "LaunchTemplate" not in wanted:
            wanted = {"ImageId": image, "InstanceType": "m5.large"} | wanted
        return ec2.run_instances(**{"MinCount": 1, "MaxCount": 1} | wanted)["Instances"][0]

    return run


def described(ec2, instance_id):
    return ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]


def tags(one):
    return {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}


# the dialect


def test_importing_the_front_imports_no_moto():
    """EC2 of moto takes a second to import; nobody who does not call it waits for it."""
    code = "import sys, ostiary.sandbox.adapters; print([m for m in sys.modules if 'moto' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_errors_have_the_form_of_ec2(ec2, connect, world, refusal):
    with pytest.raises(ClientError) as caught:
        ec2.describe_instances(InstanceIds=[f"i-{NONE}"])
    assert caught.value.response["Error"] == {
        "Code": "InvalidInstanceID.NotFound",
        "Message": f"The instance ID 'i-{NONE}' does not exist",
    }
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    nobody = connect("ec2", world.aws.add_user(MANAGEMENT, "nobody", []))
    code, text = refusal(nobody.describe_vpcs)
    assert code == "UnauthorizedOperation"
    assert text.startswith("You are not authorized to perform this operation. User: arn:aws:iam::")
    assert refusal(connect("ec2", ("AKIANOBODY", "x")).describe_vpcs)[0] == "AuthFailure"
    world.switches.throttle_share = 1.0
    assert refusal(ec2.describe_vpcs) == ("RequestLimitExceeded", "Rate exceeded")


def test_what_is_not_served_is_refused(ec2, refusal):
    assert refusal(ec2.create_key_pair, KeyName="k")[0] == "NotImplemented"
    assert refusal(ec2.create_nat_gateway, SubnetId=f"subnet-{NONE}")[0] == "NotImplemented"


@pytest.mark.parametrize(
    ("call", "params", "code"),
    [
        ("describe_instances", {"InstanceIds": ["bad"]}, "InvalidInstanceID.Malformed"),
        ("describe_security_groups", {"GroupIds": ["sg-xyz"]}, "InvalidGroupId.Malformed"),
        ("describe_subnets", {"SubnetIds": ["vpc-1"]}, "InvalidSubnetID.Malformed"),
        ("describe_security_groups", {"GroupIds": [f"sg-{NONE}"]}, "InvalidGroup.NotFound"),
        ("describe_subnets", {"SubnetIds": [f"subnet-{NONE}"]}, "InvalidSubnetID.NotFound"),
        ("describe_vpcs", {"VpcIds": [f"vpc-{NONE}"]}, "InvalidVpcID.NotFound"),
        ("release_address", {"AllocationId": "eipalloc-1"}, "InvalidAllocationID.NotFound"),
        ("terminate_instances", {"InstanceIds": [f"i-{NONE}"]}, "InvalidInstanceID.NotFound"),
        (
            "describe_launch_templates",
            {"LaunchTemplateIds": [f"lt-{NONE}"]},
            "InvalidLaunchTemplateId.NotFound",
        ),
        (
            "describe_launch_templates",
            {"LaunchTemplateNames": ["none"]},
            "InvalidLaunchTemplateName.NotFoundException",
        ),
        ("terminate_instances", {}, "MissingParameter"),
        (
            "describe_instances",
            {"Filters": [{"Name": "x", "Values": ["y"]}]},
            "InvalidParameterValue",
        ),
        ("describe_instance_types", {"InstanceTypes": ["m99.large"]}, "InvalidInstanceType"),
        (
            "create_tags",
            {"Resources": [f"i-{NONE}"], "Tags": [{"Key": "a"}]},
            "InvalidInstanceID.NotFound",
        ),
        (
            "create_tags",
            {"Resources": [f"ami-{NONE}"], "Tags": [{"Key": "a"}]},
            "InvalidAMIID.NotFound",
        ),
        ("create_tags", {"Resources": ["thing-1"], "Tags": [{"Key": "a"}]}, "InvalidID"),
    ],
)
def test_what_is_not_there_or_not_understood(ec2, refusal, call, params, code):
    found, text = refusal(getattr(ec2, call), **params)
    assert found == code
    assert "{" not in text


def test_who_only_asks_changes_nothing(ec2, group, connect, world, refusal):
    sg = group()
    wanted = {"Resources": [sg], "Tags": [{"Key": "a", "Value": "b"}], "DryRun": True}
    assert refusal(ec2.create_tags, **wanted)[0] == "DryRunOperation"
    assert refusal(ec2.delete_security_group, GroupId=sg, DryRun=True)[0] == "DryRunOperation"
    nobody = connect("ec2", world.aws.add_user(MANAGEMENT, "nobody", []))
    assert refusal(nobody.create_tags, **wanted)[0] == "UnauthorizedOperation"
    assert tags(ec2.describe_security_groups(GroupIds=[sg])["SecurityGroups"][0]) == {}


def test_a_fresh_account_has_a_network_in_every_region(ec2, connect, admin, world, sts):
    keys = world.aws.add_user(GOV, "ops", ["arn:aws-us-gov:iam::aws:policy/AdministratorAccess"])
    places = [(admin, "us-east-1"), (admin, "eu-central-1"), (keys, "us-gov-west-1")]
    seen = set()
    for who, region in places:
        client = connect("ec2", who, region=region)
        networks = client.describe_vpcs()["Vpcs"]
        assert [one["IsDefault"] for one in networks] == [True]
        seen.add(networks[0]["VpcId"])
        zones = {one["AvailabilityZone"] for one in client.describe_subnets()["Subnets"]}
        assert len(zones) >= 2
        assert all(zone.startswith(region) for zone in zones)
    assert len(seen) == 3
    role = f"arn:aws:iam::{MEMBER}:role/OrganizationAccountAccessRole"
    other = connect("ec2", sts.assume_role(RoleArn=role, RoleSessionName="ops")["Credentials"])
    assert other.describe_vpcs()["Vpcs"][0]["VpcId"] not in seen


# security groups


def test_rules_of_a_group(ec2, group, refusal):
    sg = group()
    rule = ec2.authorize_security_group_ingress(GroupId=sg, IpPermissions=[SSH])
    assert rule["SecurityGroupRules"][0]["CidrIpv4"] == "10.0.0.0/8"
    again = refusal(ec2.authorize_security_group_ingress, GroupId=sg, IpPermissions=[SSH])
    assert again[0] == "InvalidPermission.Duplicate"
    other = SSH | {"IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "operators"}]}
    ec2.update_security_group_rule_descriptions_ingress(GroupId=sg, IpPermissions=[other])
    only = {"Filters": [{"Name": "group-id", "Values": [sg]}]}
    found = ec2.describe_security_group_rules(**only)["SecurityGroupRules"]
    assert [one.get("Description") for one in found if not one["IsEgress"]] == ["operators"]
    ec2.revoke_security_group_ingress(GroupId=sg, IpPermissions=[SSH])
    gone = refusal(ec2.revoke_security_group_ingress, GroupId=sg, IpPermissions=[SSH])
    assert gone[0] == "InvalidPermission.NotFound"


def test_groups_that_are_refused(ec2, group, vpc, refusal):
    group()
    make = {"Description": "d", "VpcId": vpc}
    code, text = refusal(ec2.create_security_group, GroupName="gateway", **make)
    assert (code, text.endswith(f"for VPC '{vpc}'")) == ("InvalidGroup.Duplicate", True)
    code = refusal(ec2.create_security_group, GroupName="sg-mine", **make)[0]
    assert code == "InvalidParameterValue"
    make["VpcId"] = f"vpc-{NONE}"
    code = refusal(ec2.create_security_group, GroupName="other", **make)[0]
    assert code == "InvalidVpcID.NotFound"


def test_a_group_stays_while_something_hangs_on_it(ec2, group, run, refusal):
    sg, named = group(), group("named")
    pair = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    pair["UserIdGroupPairs"] = [{"GroupId": named}]
    ec2.authorize_security_group_ingress(GroupId=sg, IpPermissions=[pair])
    instance = run(SecurityGroupIds=[sg])["InstanceId"]
    for one in (sg, named):
        assert refusal(ec2.delete_security_group, GroupId=one)[0] == "DependencyViolation"
    default = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
    assert refusal(ec2.delete_security_group, GroupId=default)[0] == "CannotDelete"
    ec2.terminate_instances(InstanceIds=[instance])
    ec2.delete_security_group(GroupId=sg)
    ec2.delete_security_group(GroupId=named)


# instances


def test_an_instance_is_what_its_template_says(ec2, template, run, subnets):
    wanted = {"LaunchTemplate": {"LaunchTemplateId": template()}, "SubnetId": subnets[1]}
    wanted["TagSpecifications"] = [
        {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "node 1"}]}
    ]
    started = run(**wanted)
    assert started["State"]["Name"] == "pending"
    found = described(ec2, started["InstanceId"])
    assert found["State"]["Name"] == "running"
    for one in (started, found):
        assert one["MetadataOptions"]["HttpTokens"] == "required"
        assert one["MetadataOptions"]["HttpPutResponseHopLimit"] == 2
        assert (one["EbsOptimized"], one["Monitoring"]["State"]) == (True, "enabled")
        assert (one["BootMode"], one["CurrentInstanceBootMode"]) == ("uefi", "uefi")
        assert (one["Architecture"], one["EnaSupport"]) == ("x86_64", True)
        assert one["SubnetId"] == subnets[1]
    assert tags(found)["from"] == "template"
    assert tags(found)["Name"] == "node 1"
    assert tags(found)["aws:ec2launchtemplate:version"] == "1"


def test_its_disks_are_those_of_the_image_and_the_template(ec2, template, run):
    instance = run(LaunchTemplate={"LaunchTemplateName": "gateway" if template() else ""})
    only = [{"Name": "attachment.instance-id", "Values": [instance["InstanceId"]]}]
    volumes = ec2.describe_volumes(Filters=only)["Volumes"]
    found = {one["Attachments"][0]["Device"]: one for one in volumes}
    assert set(found) == {"/dev/sda1", "/dev/sdf"}
    root, data = found["/dev/sda1"], found["/dev/sdf"]
    assert (root["Size"], root["VolumeType"], root["Encrypted"]) == (30, "gp3", True)
    assert (data["Size"], data["VolumeType"], data["Encrypted"]) == (2, "gp2", False)
    assert tags(root) == tags(data) == {"from": "template"}
    assert root["SnapshotId"].startswith("snap-")
    ec2.modify_instance_attribute(
        InstanceId=instance["InstanceId"], DisableApiTermination={"Value": False}
    )
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    left = ec2.describe_volumes()["Volumes"]
    assert [(one["VolumeId"], one["State"]) for one in left] == [(data["VolumeId"], "available")]


def test_disks_are_encrypted_where_the_account_says_so(ec2, run):
    assert ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    ec2.enable_ebs_encryption_by_default()
    run()
    assert all(one["Encrypted"] for one in ec2.describe_volumes()["Volumes"])


def test_without_a_place_it_starts_in_the_default_network(ec2, run, subnets, vpc):
    one = run()
    assert (one["SubnetId"] in subnets, one["VpcId"]) == (True, vpc)
    assert [group["GroupName"] for group in one["SecurityGroups"]] == ["default"]
    assert one["PrivateIpAddress"].startswith("172.31.")


def test_a_token_starts_one_instance(ec2, template, subnets, refusal):
    wanted = {
        "LaunchTemplate": {"LaunchTemplateId": template()},
        "SubnetId": subnets[0],
        "ClientToken": "node-1",
        "MinCount": 1,
        "MaxCount": 1,
    }
    first = ec2.run_instances(**wanted)
    again = ec2.run_instances(**wanted)
    assert again["ReservationId"] == first["ReservationId"]
    assert again["Instances"][0]["State"]["Name"] == "running"
    other = wanted | {"SubnetId": subnets[1]}
    assert refusal(ec2.run_instances, **other)[0] == "IdempotentParameterMismatch"
    assert len(ec2.describe_instances()["Reservations"]) == 1


def test_a_lost_answer_is_found_by_its_token(ec2, image, world):
    wanted = {"ImageId": image, "InstanceType": "m5.large", "ClientToken": "t"}
    wanted |= {"MinCount": 1, "MaxCount": 1}
    world.switches.lost_answer_share = 1.0
    with pytest.raises(ConnectionClosedError):
        ec2.run_instances(**wanted)
    world.switches.lost_answer_share = 0.0
    started = ec2.run_instances(**wanted)["Instances"][0]["InstanceId"]
    assert [
        one["Instances"][0]["InstanceId"] for one in ec2.describe_instances()["Reservations"]
    ] == [started]


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"ImageId": f"ami-{NONE}"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "bad"}, "InvalidAMIID.Malformed"),
        ({"InstanceType": "m99.large"}, "InvalidParameterValue"),
        ({"InstanceType": "t2.micro"}, "Unsupported"),
        ({"SubnetId": f"subnet-{NONE}"}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": [f"sg-{NONE}"]}, "InvalidGroup.NotFound"),
        ({"MinCount": 2}, "InvalidParameterValue"),
        (
            {"LaunchTemplate": {"LaunchTemplateId": f"lt-{NONE}"}},
            "InvalidLaunchTemplateId.NotFound",
        ),
        (
            {"LaunchTemplate": {"LaunchTemplateName": "none"}},
            "InvalidLaunchTemplateName.NotFoundException",
        ),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 3}}]},
            "InvalidBlockDeviceMapping",
        ),
        ({"KeyName": "mine"}, "NotImplemented"),
    ],
)
def test_launches_that_are_refused(ec2, image, refusal, other, code):
    wanted = {"ImageId": image, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
    assert refusal(ec2.run_instances, **wanted | other)[0] == code
    assert ec2.describe_instances()["Reservations"] == []
    assert ec2.describe_volumes()["Volumes"] == []


def test_a_version_of_a_template_must_be_there(ec2, template, refusal):
    wanted = {"LaunchTemplate": {"LaunchTemplateId": template(), "Version": "7"}}
    code = refusal(ec2.run_instances, **wanted, MinCount=1, MaxCount=1)[0]
    assert code == "InvalidLaunchTemplateId.VersionNotFound"


def test_a_group_must_be_of_the_subnets_network(ec2, group, image, subnets, refusal):
    far = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    wanted = {"ImageId": image, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
    wanted |= {"SubnetId": subnets[0], "SecurityGroupIds": [group("far", VpcId=far)]}
    code, text = refusal(ec2.run_instances, **wanted)
    assert code == "InvalidParameter"
    assert text.endswith("belong to different networks.")


def test_states_of_an_instance(ec2, template, run, refusal):
    one = run(LaunchTemplate={"LaunchTemplateId": template()})["InstanceId"]
    only = {"InstanceIds": [one]}
    status = ec2.describe_instance_status(**only)["InstanceStatuses"][0]
    assert (status["InstanceStatus"]["Status"], status["SystemStatus"]["Status"]) == ("ok", "ok")
    code, text = refusal(ec2.terminate_instances, **only)
    assert code == "OperationNotPermitted"
    assert "disableApiTermination" in text
    ec2.stop_instances(**only)
    assert described(ec2, one)["State"]["Name"] == "stopped"
    ec2.start_instances(**only)
    ec2.modify_instance_attribute(InstanceId=one, DisableApiTermination={"Value": False})
    ec2.modify_instance_metadata_options(InstanceId=one, HttpPutResponseHopLimit=1)
    assert described(ec2, one)["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    ec2.terminate_instances(**only)
    assert described(ec2, one)["State"]["Name"] == "terminated"
    for call in (ec2.start_instances, ec2.stop_instances):
        assert refusal(call, **only)[0] == "IncorrectInstanceState"


def test_addresses(ec2, run, refusal):
    one = run()["InstanceId"]
    address = ec2.allocate_address(Domain="vpc")
    wanted = {"AllocationId": address["AllocationId"]}
    held = ec2.associate_address(**wanted, InstanceId=one)["AssociationId"]
    assert described(ec2, one)["PublicIpAddress"] == address["PublicIp"]
    assert (
        ec2.describe_addresses(AllocationIds=[address["AllocationId"]])["Addresses"][0][
            "InstanceId"
        ]
        == one
    )
    assert refusal(ec2.release_address, **wanted)[0] == "InvalidIPAddress.InUse"
    ec2.disassociate_address(AssociationId=held)
    assert (
        refusal(ec2.disassociate_address, AssociationId=held)[0] == "InvalidAssociationID.NotFound"
    )
    ec2.release_address(**wanted)
    for _ in range(5):
        ec2.allocate_address(Domain="vpc")
    assert refusal(ec2.allocate_address, Domain="vpc")[0] == "AddressLimitExceeded"


# tags


def test_tags_of_images_and_networks_in_one_request(ec2, image, group, refusal):
    sg = group()
    ec2.create_tags(Resources=[sg, image], Tags=[{"Key": "estate", "Value": "gateway/acme"}])
    filters = [{"Name": "key", "Values": ["estate"]}]
    found = ec2.describe_tags(Filters=filters)["Tags"]
    assert {(one["ResourceId"], one["ResourceType"]) for one in found} == {
        (sg, "security-group"),
        (image, "image"),
    }
    page = ec2.describe_tags(Filters=filters, MaxResults=1)
    rest = ec2.describe_tags(Filters=filters, MaxResults=1, NextToken=page["NextToken"])
    assert page["Tags"] + rest["Tags"] == found
    both = [*filters, {"Name": "value", "Values": ["gateway/*"]}]
    assert len(ec2.describe_tags(Filters=both)["Tags"]) == 2
    assert ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["vpc"]}])["Tags"] == []
    missing = {"Resources": [sg, f"ami-{NONE}"], "Tags": [{"Key": "x", "Value": "y"}]}
    assert refusal(ec2.create_tags, **missing)[0] == "InvalidAMIID.NotFound"
    reserved = {"Resources": [sg], "Tags": [{"Key": "aws:x", "Value": "y"}]}
    assert refusal(ec2.create_tags, **reserved)[0] == "InvalidParameterValue"
    assert tags(ec2.describe_security_groups(GroupIds=[sg])["SecurityGroups"][0]) == {
        "estate": "gateway/acme"
    }
    ec2.delete_tags(Resources=[sg, image], Tags=[{"Key": "estate"}])
    assert ec2.describe_tags(Filters=filters)["Tags"] == []


def test_who_may_only_one_action(ec2, connect, world, group, refusal):
    arn = f"arn:aws:ec2:us-east-1:{MANAGEMENT}:security-group/{group()}"
    statement = {"Effect": "Allow", "Action": "ec2:DeleteSecurityGroup", "Resource": arn}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    clerk = connect("ec2", world.aws.add_user(MANAGEMENT, "clerk", [policy]))
    other = group("other")
    assert refusal(clerk.delete_security_group, GroupId=other)[0] == "UnauthorizedOperation"
    clerk.delete_security_group(GroupId=arn.rpartition("/")[2])


def clerk(connect, world, *statements):
    allowed = [{"Effect": "Allow"} | one for one in statements]
    policy = {"Version": "2012-10-17", "Statement": allowed}
    name = f"clerk-{len(world.aws.account(MANAGEMENT).users)}"
    return connect("ec2", world.aws.add_user(MANAGEMENT, name, [policy]))


def test_every_instance_of_a_request_must_be_allowed(ec2, connect, world, run, refusal):
    mine, other = run()["InstanceId"], run()["InstanceId"]
    arn = f"arn:aws:ec2:us-east-1:{MANAGEMENT}:instance/{mine}"
    client = clerk(connect, world, {"Action": "ec2:TerminateInstances", "Resource": arn})
    code = refusal(client.terminate_instances, InstanceIds=[mine, other])[0]
    assert code == "UnauthorizedOperation"
    assert described(ec2, mine)["State"]["Name"] == "running"
    client.terminate_instances(InstanceIds=[mine])


def test_a_launch_must_be_allowed_on_all_that_it_uses(connect, world, image, subnets, refusal):
    places = f"arn:aws:ec2:us-east-1:{MANAGEMENT}:"
    parts = [f"{places}{kind}/*" for kind in ("instance", "volume", "network-interface", "subnet")]
    launch = {"Action": "ec2:RunInstances", "Resource": parts}
    wanted = {"ImageId": image, "InstanceType": "m5.large", "SubnetId": subnets[0]}
    wanted |= {"MinCount": 1, "MaxCount": 1}
    code, text = refusal(clerk(connect, world, launch).run_instances, **wanted)
    assert code == "UnauthorizedOperation"
    assert f"on resource: arn:aws:ec2:us-east-1::image/{image}" in text
    parts.append("arn:aws:ec2:us-east-1::image/*")
    clerk(connect, world, launch).run_instances(**wanted)
    wanted["TagSpecifications"] = [
        {"ResourceType": "instance", "Tags": [{"Key": "estate", "Value": "acme"}]}
    ]
    code, text = refusal(clerk(connect, world, launch).run_instances, **wanted)
    assert "is not authorized to perform: ec2:CreateTags" in text
    asked = {"ec2:CreateAction": "RunInstances", "aws:RequestTag/estate": "acme"}
    tag = {"Action": "ec2:CreateTags", "Resource": "*", "Condition": {"StringEquals": asked}}
    clerk(connect, world, launch, tag).run_instances(**wanted)
