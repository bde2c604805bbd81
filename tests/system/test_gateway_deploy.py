"""A deployment as a whole against the embedded EC2 and load balancing: made once, kept, replaced by hand's breadth, removed."""

import dataclasses
import threading

import pytest
from gateway_world import GatewayWorld
from moto.ec2.models import ec2_backends

from ostiary.doors.gateway.deploy import removal, work
from ostiary.doors.gateway.deploy.health import ailing
from ostiary.doors.gateway.deploy.network import find_network
from ostiary.doors.gateway.deploy.settings import DeploySettings
from ostiary.errors import Conflict, GuardTripped, UsageError
from ostiary.plan.guard import Overrides
from ostiary.sandbox.authority import write_authority
from ostiary.sandbox.aws.images.state import Image

ACCOUNT, REGION = "100000000001", "us-east-1"
ADMINS = ("198.51.100.0/24",)


class Place:
    """An account with two AMIs and a certificate; ``deploy`` is what the command does after its import."""

    def __init__(self, gateway):
        self.gateway, self.reached = gateway, gateway.reached
        self.ec2, self.elb = gateway.client("ec2"), gateway.client("elbv2")
        self.vpc = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        for number in (1, 2):
            disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8, "VolumeType": "gp3"}}
            facts = {"Architecture": "x86_64", "EnaSupport": True, "VirtualizationType": "hvm"}
            facts |= {"RootDeviceName": "/dev/sda1", "BootMode": "uefi"}
            facts |= {"BlockDeviceMappings": [disk], "State": "available"}
            image = Image(f"ami-0000000{number}", ACCOUNT, REGION, f"oag{number}", facts)
            gateway.images.images[image.id] = image
        _, chain, key = write_authority(gateway.folder)
        leaf = chain.read_text().partition("-----END CERTIFICATE-----")
        made = gateway.client("acm").import_certificate(
            Certificate="".join(leaf[:2]), PrivateKey=key.read_bytes()
        )
        self.certificate = made["CertificateArn"]

    def several(self, **more):
        settings = {"nodes": 2, "certificate": self.certificate, **more}
        return DeploySettings("edge", ADMINS, **settings)

    def plan(self, settings, image="ami-00000001", only=""):
        resources = work.wanted(self.reached, settings, image, only)
        return work.plan_deploy(self.reached, settings, resources)

    def deploy(self, settings, image="ami-00000001", only="", **overrides):
        made = self.plan(settings, image, only)
        work.apply_deploy(
            self.reached, settings, made, overrides=Overrides(**overrides), image_id=image
        )
        return work.look(self.reached, settings.name)

    def remove(self, name="edge"):
        plan = removal.plan_removal(self.reached, name)
        counts = {}
        for change in plan.writes:
            counts[change.key.kind] = counts.get(change.key.kind, 0) + 1
        allowed = {kind: number for kind, number in counts.items() if number > 1}
        removal.remove(self.reached, name, plan, overrides=Overrides(allow_deletions=allowed))

    def images(self):
        return {one["ImageId"] for one in self.ec2.describe_images(Owners=["self"])["Images"]}

    def ids(self):
        return [one.instance_id for one in work.look(self.reached, "edge").nodes]


@pytest.fixture
def place(tmp_path, monkeypatch):
    return Place(GatewayWorld(tmp_path, monkeypatch))


ONE = DeploySettings("edge", ADMINS)


def rules_of(place, port):
    """(group's name, source) of every way to a port."""
    names = {}
    groups = place.ec2.describe_security_groups()["SecurityGroups"]
    for one in groups:
        names[one["GroupId"]] = one["GroupName"]
    return {
        (one["GroupName"], source)
        for one in groups
        for rule in one["IpPermissions"]
        if rule.get("FromPort") == port
        for source in (
            *(r["CidrIp"] for r in rule["IpRanges"]),
            *(names[r["GroupId"]] for r in rule["UserIdGroupPairs"]),
        )
    }


def test_one_node_and_again_nothing(place):
    made = place.deploy(ONE)
    assert made.address
    assert made.nodes[0].state == "running"
    assert place.plan(ONE).writes == ()
    volume = place.ec2.describe_volumes(
        Filters=[{"Name": "tag:ostiary:name", "Values": ["edge-1"]}]
    )["Volumes"][0]
    assert (volume["Encrypted"], volume["VolumeType"]) == (True, "gp3")
    assert ailing(place.reached, "edge", waiting=False) == ()


def test_several_nodes_and_again_nothing(place):
    settings = place.several()
    made = place.deploy(settings)
    assert made.balanced
    assert place.plan(settings).writes == ()
    assert rules_of(place, 443) == {
        ("edge-front", "0.0.0.0/0"),
        ("edge-nodes", "edge-front"),
        ("edge-nodes", "edge-members"),
    }
    assert rules_of(place, 22) == {("edge-nodes", ADMINS[0]), ("edge-nodes", "edge-members")}


def test_the_admin_ui_is_open_to_administrators_only_when_asked(place):
    place.deploy(place.several(admin_ui=True))
    assert ("edge-nodes", ADMINS[0]) in rules_of(place, 443)


def test_a_target_group_takes_nodes_that_take_their_time(place):
    """EC2 starts an instance in a minute or so; meanwhile no target group takes it."""
    client = place.reached.aws.client("ec2", REGION)
    timers = []

    def starting(parsed, **_):
        backend = ec2_backends[ACCOUNT][REGION]
        for one in parsed.get("Instances", ()):
            instance = backend.get_instance(one["InstanceId"])
            state = type(instance._state)
            instance._state = state("pending", 0)
            timer = threading.Timer(0.7, setattr, (instance, "_state", state("running", 16)))
            timers.append(timer)
            timer.start()

    client.meta.events.register("after-call.ec2.RunInstances", starting)
    try:
        made = place.deploy(place.several())
    finally:
        client.meta.events.unregister("after-call.ec2.RunInstances", starting)
        for timer in timers:
            timer.join()
    assert len(timers) == 2
    assert [one.state for one in made.nodes] == ["running", "running"]


def test_a_subnet_that_somebody_adds_moves_nothing(place):
    """Subnets are found by zone: one with a smaller id must not replace a node, which would empty it."""
    settings = place.several(nodes=3)
    place.deploy(settings)
    before = place.ids()
    chosen = find_network(place.reached, settings).subnets
    # Ids are drawn at random: below the largest of those with a node another soon falls.
    largest = place.ec2.describe_subnets(SubnetIds=[max(chosen[: settings.nodes])])["Subnets"][0]
    zone = largest["AvailabilityZone"]
    for number in range(128, 256):
        place.ec2.create_subnet(
            VpcId=place.vpc, CidrBlock=f"172.31.{number}.0/24", AvailabilityZone=zone
        )
        if find_network(place.reached, settings).subnets != chosen:
            break
    assert find_network(place.reached, settings).subnets != chosen
    assert place.plan(settings).writes == ()
    assert place.ids() == before


def test_a_new_ami_replaces_the_node_that_is_named_and_no_other(place):
    settings = place.several()
    place.deploy(settings)
    first, second = place.ids()
    with pytest.raises(GuardTripped, match="refused"):
        place.deploy(settings, "ami-00000002")
    assert place.ids() == [first, second]
    place.deploy(settings, "ami-00000002", only="edge-2")
    kept, other = place.ids()
    assert kept == first
    assert other != second
    place.deploy(settings, "ami-00000002", only="edge-1")
    assert place.ids()[0] != first
    assert place.plan(settings, "ami-00000002").writes == ()


def test_a_node_that_there_is_not_cannot_be_named(place):
    with pytest.raises(UsageError, match="cannot replace node edge-3"):
        place.plan(place.several(), only="edge-3")


def test_what_cannot_start_is_refused_before_anything_is_made(place):
    with pytest.raises(UsageError, match=r"cannot start ami-00000001 as m4\.large") as refused:
        place.deploy(dataclasses.replace(ONE, size="m4.large"))
    assert "it starts by uefi, m4.large by legacy-bios" in refused.value.why
    with pytest.raises(UsageError, match=r"cannot use instance type x9\.huge"):
        work.check_place(place.reached, dataclasses.replace(ONE, size="x9.huge"))
    with pytest.raises(UsageError, match=r"cannot run a gateway on m6g\.large"):
        work.check_place(place.reached, dataclasses.replace(ONE, size="m6g.large"))
    assert place.gateway.calls("RunInstances", "CreateSecurityGroup") == 0


def test_all_of_it_goes_and_the_ami_only_when_asked(place):
    place.deploy(place.several())
    place.remove()
    assert place.images() >= {"ami-00000001", "ami-00000002"}
    assert removal.plan_removal(place.reached, "edge").writes == ()
    image = removal.removable_image(place.reached, "edge")
    removal.finish(place.reached, "edge", image)
    assert "ami-00000001" not in place.images()


def test_who_was_killed_before_the_ami_finds_it_again(place):
    place.deploy(ONE)
    place.remove()
    assert removal.removable_image(place.reached, "edge").id == "ami-00000001"


def test_an_ami_that_another_gateway_runs_on_stays(place):
    place.deploy(ONE)
    place.deploy(dataclasses.replace(ONE, name="other"))
    with pytest.raises(Conflict, match="cannot remove ami-00000001") as refused:
        removal.removable_image(place.reached, "edge")
    assert "of another gateway" in refused.value.why


def test_an_instance_that_fails_its_checks_is_said(place):
    made = place.deploy(ONE)
    place.ec2.modify_instance_attribute(
        InstanceId=made.nodes[0].instance_id, DisableApiTermination={"Value": False}
    )
    place.ec2.stop_instances(InstanceIds=[made.nodes[0].instance_id])
    (line,) = ailing(place.reached, "edge", waiting=False)
    assert line == f"edge-1 ({made.nodes[0].instance_id}): stopped"
