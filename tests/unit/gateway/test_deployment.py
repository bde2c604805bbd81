"""What a gateway is made of, what is refused before anything is asked of AWS, and what a person is told to do."""

import dataclasses

import pytest

from ostiary.aws.machine_image import MachineImage
from ostiary.doors.gateway.deploy.checklist import checklist
from ostiary.doors.gateway.deploy.desired import desired
from ostiary.doors.gateway.deploy.network import Network
from ostiary.doors.gateway.deploy.settings import DeploySettings, check
from ostiary.doors.gateway.deploy.work import Deployed, Node
from ostiary.errors import UsageError

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
SINGLE = DeploySettings("edge", ("198.51.100.0/24",))
SEVERAL = DeploySettings(
    "edge",
    ("198.51.100.0/24",),
    nodes=3,
    certificate="arn:aws:acm:eu-west-1:111122223333:certificate/1",
)


def wanted(settings, image=IMAGE):
    return desired(settings, ACCOUNT, REGION, NETWORK, image)


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
        assert template.wanted["metadata"] == "v2"
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
        ],
    )
    def test_an_ami_that_cannot_start_is_refused(self, change, why):
        with pytest.raises(UsageError) as refused:
            wanted(SINGLE, dataclasses.replace(IMAGE, **change))
        assert why in refused.value.why


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
        ],
    )
    def test_what_is_wrong_is_said(self, change, why):
        with pytest.raises(UsageError) as refused:
            check(dataclasses.replace(SINGLE, **change))
        assert why in refused.value.why

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
        assert items["dns"].commands[0] == "gw.acme.example.  A  203.0.113.7"
        assert "high-availability" not in items

    def test_several_nodes_are_joined_and_the_name_leads_to_the_load_balancer(self):
        items = {
            one.id: one for one in checklist(self.deployed(self.NODES, "edge-1.elb.example", True))
        }
        assert items["dns"].commands[0] == "gw.acme.example.  CNAME  edge-1.elb.example"
        assert items["high-availability"].commands[1] == "add workers: 10.0.1.4"
