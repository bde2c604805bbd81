"""What a gateway is made of, what is refused before anything is asked of AWS, and what a person is told to do."""

import dataclasses

import pytest

from ostiary.aws.instance_type import InstanceType
from ostiary.aws.machine_image import MachineImage
from ostiary.doors.gateway.deploy.checklist import checklist
from ostiary.doors.gateway.deploy.desired import desired
from ostiary.doors.gateway.deploy.network import Network
from ostiary.doors.gateway.deploy.settings import DeploySettings, check, check_region, ranges
from ostiary.doors.gateway.deploy.standing import staying
from ostiary.doors.gateway.deploy.work import Deployed, Node
from ostiary.errors import UsageError
from ostiary.plan.resource import Found, Owner

ACCOUNT, REGION = "111122223333", "eu-west-1"
NETWORK = Network("vpc-1", ("subnet-a", "subnet-b"), ("eu-west-1a", "eu-west-1b"))
IMAGE = MachineImage(
    id="ami-1",
    name="oag",
    state="available",
    architecture="x86_64",
    boot_mode="legacy-bios",
    ena=True,
    root_device="/dev/sda1",
    sizes={"/dev/sda1": 64},
    snapshot_ids=("snap-1",),
    tags={},
)
TYPE = InstanceType(
    "m5.large",
    ("x86_64",),
    ("legacy-bios", "uefi"),
    needs_ena=True,
    ebs_optimized=True,
    encrypts=True,
    cores=2,
    memory=8192,
)
SINGLE = DeploySettings("edge", ("198.51.100.0/24",))
SEVERAL = DeploySettings(
    "edge",
    ("198.51.100.0/24",),
    nodes=3,
    certificate="arn:aws:acm:eu-west-1:111122223333:certificate/1",
)


def wanted(settings, image=IMAGE, about=TYPE):
    return desired(settings, ACCOUNT, REGION, NETWORK, image, about=about)


def rules(resources, port):
    """Who may reach a port, by group."""
    return {
        (one.key.name.partition("/")[2], str(rule["source"]))
        for one in resources
        if one.key.kind == "ec2-security-group"
        for rule in one.wanted["ingress"]
        if rule["from"] <= port <= rule["to"]
    }


class TestWanted:
    def test_a_single_node_is_open_to_people_and_its_ssh_to_administrators(self):
        made = wanted(SINGLE)
        assert rules(made, 443) == {("edge-nodes", "0.0.0.0/0")}
        assert rules(made, 22) == {("edge-nodes", "198.51.100.0/24")}
        assert [one.key.kind for one in made] == [
            "ec2-security-group",
            "ec2-launch-template",
            "ec2-instance",
            "ec2-elastic-ip",
        ]

    def test_several_nodes_are_reached_through_the_load_balancer_alone(self):
        made = wanted(SEVERAL)
        assert {group for group, source in rules(made, 443) if source == "0.0.0.0/0"} == {
            "edge-front"
        }
        ssh = rules(made, 22)
        assert ("edge-nodes", "198.51.100.0/24") in ssh
        assert all(source != "0.0.0.0/0" for _, source in ssh)
        assert not [one for one in made if one.key.kind == "ec2-elastic-ip"]

    def test_nodes_come_one_after_another_in_different_zones(self):
        nodes = [one for one in wanted(SEVERAL) if one.key.kind == "ec2-instance"]
        assert [one.wanted["subnet"] for one in nodes] == ["subnet-a", "subnet-b", "subnet-a"]
        assert [len(one.after) for one in nodes] == [0, 1, 1]
        assert nodes[0].key in nodes[1].after
        assert nodes[1].key in nodes[2].after

    def test_metadata_asks_for_a_token_and_disks_are_encrypted(self):
        (template,) = (one for one in wanted(SINGLE) if one.key.kind == "ec2-launch-template")
        assert (template.wanted["tokens"], template.wanted["hops"]) == ("required", 1)
        assert template.wanted["encrypted"] is True

    def test_plain_http_only_leads_to_https(self):
        listeners = [one.wanted for one in wanted(SEVERAL) if one.key.kind == "elb-listener"]
        assert {(one["port"], one["redirect"]) for one in listeners} == {(443, False), (80, True)}

    def test_inside_only_there_is_no_public_address(self):
        made = wanted(dataclasses.replace(SINGLE, internal=True))
        assert not [one for one in made if one.key.kind == "ec2-elastic-ip"]
        balancer = [
            one.wanted["scheme"]
            for one in wanted(dataclasses.replace(SEVERAL, internal=True))
            if one.key.kind == "elb-load-balancer"
        ]
        assert balancer == ["internal"]

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"state": "pending"}, "it is pending"),
            ({"architecture": "arm64"}, "its architecture is arm64"),
            ({"ena": False}, "not marked for ENA"),
            ({"root_device": "/dev/xvda"}, "no root disk"),
            ({"boot_mode": "uefi"}, "it starts by uefi, m4.large by legacy-bios"),
        ],
    )
    def test_an_ami_that_cannot_start_is_refused(self, change, why):
        about = TYPE
        if "boot_mode" in change:
            about = dataclasses.replace(TYPE, name="m4.large", boot_modes=("legacy-bios",))
        with pytest.raises(UsageError) as refused:
            wanted(SINGLE, dataclasses.replace(IMAGE, **change), about)
        assert why in refused.value.why

    def test_an_old_type_starts_what_has_no_ena(self):
        """Okta's own t2 and m4: the way for an appliance without the driver."""
        old = dataclasses.replace(
            TYPE, name="m4.large", needs_ena=False, boot_modes=("legacy-bios",)
        )
        assert wanted(SINGLE, dataclasses.replace(IMAGE, ena=False), old)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"architectures": ("arm64",)}, "its architecture is arm64"),
            ({"ebs_optimized": False}, "no dedicated bandwidth"),
            ({"encrypts": False}, "no encrypted disk"),
            ({"memory": 1024}, "it has 1024 MiB of memory"),
        ],
    )
    def test_a_type_that_is_no_node_is_refused(self, change, why):
        with pytest.raises(UsageError) as refused:
            wanted(SINGLE, IMAGE, dataclasses.replace(TYPE, **change))
        assert why in refused.value.why

    def test_nodes_join_by_https_and_the_admin_ui_is_closed_unless_asked(self):
        """Okta: members of a cluster speak HTTPS while one joins."""
        ways = {source for group, source in rules(wanted(SEVERAL), 443) if group == "edge-nodes"}
        assert len(ways) == 2
        assert all("ec2-security-group" in one for one in ways)
        asked = rules(wanted(dataclasses.replace(SEVERAL, admin_ui=True)), 443)
        assert ("edge-nodes", "198.51.100.0/24") in asked


class TestStanding:
    """What stands stays where it is."""

    def found(self, resources, **change):
        return {
            one.key: Found(one.key, {**one.wanted, **change}, Owner.OURS)
            for one in resources
            if one.key.kind == "ec2-instance"
        }

    def subnets(self, resources):
        return [one.wanted["subnet"] for one in resources if one.key.kind == "ec2-instance"]

    def test_without_subnets_named_a_node_keeps_its_own(self):
        made = wanted(SEVERAL)
        there = self.found(made, subnet="subnet-old")
        assert self.subnets(staying(made, there, named=False)) == ["subnet-old"] * 3
        assert self.subnets(staying(made, there, named=True)) == self.subnets(made)

    def test_no_other_node_than_the_named_one_becomes_another(self):
        made = wanted(SEVERAL)
        there = self.found(made, image="ami-0")
        kept = staying(made, there, named=False, only="edge-2")
        images = [one.wanted["image"] for one in kept if one.key.kind == "ec2-instance"]
        assert images == ["ami-0", "ami-1", "ami-0"]

    def test_what_is_new_is_made_as_wanted(self):
        made = wanted(SEVERAL)
        assert staying(made, {}, named=False, only="edge-1") == made


class TestSettings:
    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"name": "Edge"}, "--name"),
            ({"name": "e"}, "--name"),
            ({"name": "e" * 26}, "--name"),
            ({"size": "huge"}, "--size huge"),
            ({"nodes": 0}, "--nodes 0"),
            ({"nodes": 9}, "--nodes 9"),
            ({"admin_ranges": ()}, "--admin-range is missing"),
            ({"admin_ranges": ("0.0.0.0/0",)}, "half the world"),
            ({"admin_ranges": ("::/0",)}, "half the world"),
            ({"admin_ranges": ("10.0.0.1/8",)}, "has host bits set"),
            ({"from_ranges": ("office",)}, "--from office"),
            ({"domain": "gw"}, "--domain"),
            ({"nodes": 2}, "needs --certificate"),
            ({"certificate": SEVERAL.certificate}, "comes with --nodes 2 or more"),
            ({"nodes": 2, "certificate": "mine"}, "no ARN of a certificate"),
        ],
    )
    def test_what_is_wrong_is_said(self, change, why):
        with pytest.raises(UsageError) as refused:
            check(dataclasses.replace(SINGLE, **change))
        assert why in refused.value.why

    def test_a_certificate_of_another_region_is_refused(self):
        check_region(SEVERAL, REGION)
        check_region(SINGLE, REGION)
        with pytest.raises(UsageError) as refused:
            check_region(SEVERAL, "us-east-1")
        assert "--certificate is of eu-west-1" in refused.value.why

    def test_ranges_are_written_as_ec2_writes_them(self):
        """EC2 writes them so; another spelling would be drift for ever, a repeated one is refused by it."""
        assert ranges(("2001:DB8::/32", "10.0.0.0/8", "10.0.0.0/8", "2001:db8:0::/32")) == (
            "10.0.0.0/8",
            "2001:db8::/32",
        )
        assert ranges(("office",)) == ("office",)

    def test_what_is_right_passes(self):
        check(SINGLE)
        check(SEVERAL)
        check(dataclasses.replace(SINGLE, size="m6i.xlarge", domain="gw.acme.example"))


class TestChecklist:
    NODES = (
        Node("edge-1", "i-1", "running", "10.0.0.4", "203.0.113.7"),
        Node("edge-2", "i-2", "running", "10.0.1.4", ""),
    )

    def deployed(self, nodes, address, balanced):
        settings = dataclasses.replace(SEVERAL if balanced else SINGLE, domain="gw.acme.example")
        return Deployed("edge", REGION, ACCOUNT, "ami-1", nodes, address, balanced, settings)

    def test_values_are_filled_in(self):
        items = {
            one.id: one for one in checklist(self.deployed(self.NODES[:1], "203.0.113.7", False))
        }
        assert items["first-login"].commands == ("ssh oag-mgmt@203.0.113.7",)
        assert items["dns"].commands[:3] == (
            "/etc/hosts of your machine:  203.0.113.7  admin",
            "gw-admin.acme.example.  A  203.0.113.7",
            "gw.acme.example.  A  203.0.113.7",
        )
        assert "high-availability" not in items
        assert "load-balancer" not in items

    def test_several_nodes_are_joined_and_the_name_leads_to_the_load_balancer(self):
        items = {
            one.id: one for one in checklist(self.deployed(self.NODES, "edge-1.elb.example", True))
        }
        assert items["dns"].commands[2] == "gw.acme.example.  CNAME  edge-1.elb.example"
        assert "edge-2 (10.0.1.4)" in items["high-availability"].commands[2]
        assert items["update"].commands[1].endswith("--only-node edge-2")

    def test_no_step_tells_a_password_or_gives_the_token_too_much(self):
        for balanced in (False, True):
            said = repr(checklist(self.deployed(self.NODES, "x.example", balanced))).lower()
            assert "super" not in said
            assert "password:" not in said
