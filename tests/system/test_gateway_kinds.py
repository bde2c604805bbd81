"""The kinds of a gateway deployment against the embedded EC2 and load balancing, by the suite that every kind runs."""

from contextlib import contextmanager

import pytest
from gateway_world import GatewayWorld
from kind_suite import KindCase, KindSuite

from ostiary.aws.ec2_elastic_ip import ElasticIpKind
from ostiary.aws.ec2_instance import InstanceKind
from ostiary.aws.ec2_launch_template import LaunchTemplateKind
from ostiary.aws.ec2_security_group import SecurityGroupKind
from ostiary.aws.elb_listener import TLS_POLICY, ListenerKind
from ostiary.aws.elb_load_balancer import LoadBalancerKind
from ostiary.aws.elb_target_group import TargetGroupKind
from ostiary.plan.resource import Key
from ostiary.sandbox.aws.images.state import Image

ACCOUNT, REGION, ESTATE = "100000000001", "us-east-1", "gateway-acme"
OURS = {"Key": "ostiary:estate", "Value": ESTATE}


class Loses:
    """Chance that takes the answer of one operation, once."""

    def __init__(self, world, operation):
        self.world, self.operation, self.left = world, operation, 1

    def random(self):
        if self.left and self.world.calls[-1][1] == self.operation:
            self.left = 0
            return 0.0
        return 1.0


class Site:
    """The account with its default VPC, an AMI, and clients to look and meddle with."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.ec2, self.elb = gateway.client("ec2"), gateway.client("elbv2")
        vpc = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        self.vpc = vpc
        listed = self.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
        by_zone = {one["AvailabilityZone"]: one["SubnetId"] for one in listed}
        self.subnets = [by_zone[zone] for zone in sorted(by_zone)]
        for number in (1, 2):
            facts = {"Architecture": "x86_64", "EnaSupport": True, "VirtualizationType": "hvm"}
            facts |= {"RootDeviceName": "/dev/sda1", "BootMode": "legacy-bios"}
            image = Image(f"ami-0000000{number}", ACCOUNT, REGION, f"oag{number}", facts)
            gateway.images.images[image.id] = image

    def key(self, kind, name):
        return Key(kind, ACCOUNT, f"{REGION}/{name}")

    def group(self, name="other"):
        return self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)[
            "GroupId"
        ]

    def instance(self, name="theirs"):
        run = self.ec2.run_instances(
            ImageId="ami-00000001",
            InstanceType="c5.xlarge",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.subnets[0],
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}
            ],
        )
        return run["Instances"][0]["InstanceId"]

    def template(self):
        data = {"ImageId": "ami-00000001", "InstanceType": "c5.xlarge"}
        made = self.ec2.create_launch_template(
            LaunchTemplateName="theirs",
            LaunchTemplateData=data,
            TagSpecifications=[{"ResourceType": "launch-template", "Tags": [OURS]}],
        )
        return made["LaunchTemplate"]["LaunchTemplateId"]

    def balancer(self, name="theirs"):
        made = self.elb.create_load_balancer(Name=name, Subnets=self.subnets[:2])
        return made["LoadBalancers"][0]["LoadBalancerArn"]

    def dump(self):
        """Everything, but for what time changes and instances that have ended."""
        found = {
            "groups": self.ec2.describe_security_groups()["SecurityGroups"],
            "templates": [
                (one["LaunchTemplateName"], one["DefaultVersionNumber"], one.get("Tags"))
                for one in self.ec2.describe_launch_templates()["LaunchTemplates"]
            ],
            "addresses": self.ec2.describe_addresses()["Addresses"],
            "instances": [
                (
                    one["InstanceId"],
                    one["ImageId"],
                    one.get("Tags"),
                    sorted(g["GroupId"] for g in one["SecurityGroups"]),
                )
                for reservation in self.ec2.describe_instances()["Reservations"]
                for one in reservation["Instances"]
                if one["State"]["Name"] not in ("terminated", "shutting-down")
            ],
        }
        for one in self.elb.describe_load_balancers()["LoadBalancers"]:
            arn = one["LoadBalancerArn"]
            attributes = self.elb.describe_load_balancer_attributes(LoadBalancerArn=arn)[
                "Attributes"
            ]
            listeners = self.elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]
            tags = self.elb.describe_tags(ResourceArns=[arn])["TagDescriptions"]
            found[arn] = (one.get("Scheme"), sorted(map(str, attributes)), listeners, tags)
        for one in self.elb.describe_target_groups()["TargetGroups"]:
            arn = one["TargetGroupArn"]
            attributes = self.elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
            health = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            found[arn] = (
                one["Port"],
                sorted(map(str, attributes)),
                sorted(h["Target"]["Id"] for h in health),
            )
        return repr(found)

    def loses(self, operation):
        """The answer of the next call of one operation."""
        world = self.gateway.world
        world.random, world.switches.lost_answer_share = Loses(world, operation), 0.5
        return world.random

    def unreadable(self, action):
        @contextmanager
        def inside():
            denied = self.gateway.world.switches.denied
            denied.add((ACCOUNT, action))
            yield
            denied.clear()

        return inside


@pytest.fixture
def site(tmp_path, monkeypatch):
    return Site(GatewayWorld(tmp_path, monkeypatch))


def case_of(site, kind, name, wanted, wanted2, *, tamper, foreign, show, action):
    made = kind(ESTATE, site.gateway.reached.aws, REGION)
    return KindCase(
        kind=made,
        key=site.key(made.name, name),
        wanted=wanted,
        wanted2=wanted2,
        tamper=lambda: tamper(made.look(site.key(made.name, name)).ids["id"]),
        dump=site.dump,
        add_foreign=foreign,
        dump_foreign=show,
        unreadable=site.unreadable(action),
    )


def rule(port, source, description="people"):
    return {
        "protocol": "tcp",
        "from": port,
        "to": port,
        "source": source,
        "description": description,
    }


ALL = {"protocol": "-1", "from": -1, "to": -1, "source": "0.0.0.0/0", "description": ""}


class TestSecurityGroup(KindSuite):
    @pytest.fixture
    def case(self, site):
        other = site.group()
        wanted = {
            "vpc": site.vpc,
            "description": "gateway nodes",
            "ingress": [
                rule(443, "0.0.0.0/0"),
                rule(22, other, "members"),
                rule(443, "2001:db8::/32", "six"),
            ],
            "egress": [ALL],
        }
        opened = {
            "IpProtocol": "tcp",
            "FromPort": 22,
            "ToPort": 22,
            "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
        }
        return case_of(
            site,
            SecurityGroupKind,
            "acme-nodes",
            wanted,
            {**wanted, "ingress": [rule(443, "203.0.113.0/24")]},
            tamper=lambda group: site.ec2.authorize_security_group_ingress(
                GroupId=group, IpPermissions=[opened]
            ),
            foreign=lambda: site.group("theirs"),
            show=lambda: site.ec2.describe_security_groups(
                Filters=[{"Name": "group-name", "Values": ["theirs"]}]
            )["SecurityGroups"],
            action="ec2:DescribeSecurityGroups",
        )

    def test_other_words_leave_the_rule_in_force(self, case, site):
        """EC2 revokes a rule whatever it is described as: one must not revoke it by its old words."""
        wanted = {**case.wanted, "ingress": [rule(22, "10.0.0.0/8"), rule(443, "2001:db8::/32")]}
        case.kind.create(case.key, wanted)
        said = [{**one, "description": "in other words"} for one in wanted["ingress"]]
        found = case.kind.update(case.look(), {**wanted, "ingress": said})
        assert len(found.attributes["ingress"]) == len(said)
        assert {one["description"] for one in found.attributes["ingress"]} == {"in other words"}

    def test_a_prefix_list_is_a_rule_like_another(self, case, site):
        group = case.kind.create(case.key, case.wanted).ids["id"]
        opened = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
        opened["PrefixListIds"] = [{"PrefixListId": "pl-12345678"}]
        site.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[opened])
        assert case.kind.differences(case.look(), case.wanted) == ("ingress",)
        found = case.kind.update(case.look(), case.wanted)
        assert case.kind.differences(found, case.wanted) == ()

    def test_a_lost_answer_does_not_fail_it(self, case, site):
        lost = site.loses("CreateSecurityGroup")
        case.kind.create(case.key, case.wanted)
        assert not lost.left


class TestLaunchTemplate(KindSuite):
    @pytest.fixture
    def case(self, site):
        wanted = {
            "image": "ami-00000001",
            "type": "c5.xlarge",
            "root_device": "/dev/sda1",
            "root_size": 20,
            "security_groups": [site.group()],
            "root_type": "gp3",
            "encrypted": True,
            "tokens": "required",
            "hops": 1,
            "ebs_optimized": True,
            "monitoring": True,
            "protected": True,
        }

        def tamper(template):
            data = {"ImageId": "ami-00000001", "InstanceType": "t3.nano"}
            made = site.ec2.create_launch_template_version(
                LaunchTemplateId=template, LaunchTemplateData=data
            )
            version = str(made["LaunchTemplateVersion"]["VersionNumber"])
            site.ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion=version)

        return case_of(
            site,
            LaunchTemplateKind,
            "acme",
            wanted,
            {**wanted, "image": "ami-00000002", "root_size": 30},
            tamper=tamper,
            foreign=site.template,
            show=lambda: site.ec2.describe_launch_templates(LaunchTemplateNames=["theirs"])[
                "LaunchTemplates"
            ],
            action="ec2:DescribeLaunchTemplates",
        )

    def test_a_lost_answer_does_not_fail_it_and_a_deleted_one_stays_deleted(self, case, site):
        lost = site.loses("CreateLaunchTemplate")
        first = case.kind.create(case.key, case.wanted).ids["id"]
        assert not lost.left
        case.kind.delete(case.look())
        assert case.kind.create(case.key, case.wanted).ids["id"] != first

    @pytest.mark.parametrize(
        ("weaker", "name"),
        [
            ({"MetadataOptions": {"HttpTokens": "optional"}}, "tokens"),
            (
                {"MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}},
                "hops",
            ),
            ({"DisableApiTermination": False}, "protected"),
            ({"EbsOptimized": False}, "ebs_optimized"),
            ({"Monitoring": {"Enabled": False}}, "monitoring"),
        ],
    )
    def test_a_version_that_is_less_safe_is_drift(self, case, site, weaker, name):
        template = case.kind.create(case.key, case.wanted).ids["id"]
        versions = site.ec2.describe_launch_template_versions(
            LaunchTemplateId=template, Versions=["$Default"]
        )["LaunchTemplateVersions"]
        data = {**versions[0]["LaunchTemplateData"], **weaker}
        site.ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data)
        site.ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion="2")
        assert case.kind.differences(case.look(), case.wanted) == (name,)

    def test_no_instance_speaks_imds_v1_or_has_an_open_disk(self, case, site):
        found = case.kind.create(case.key, case.wanted)
        data = site.ec2.describe_launch_template_versions(
            LaunchTemplateId=found.ids["id"], Versions=["$Default"]
        )["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        assert data["MetadataOptions"]["HttpTokens"] == "required"
        assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
        assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] in (True, "true")


class TestInstance(KindSuite):
    @pytest.fixture
    def case(self, site):
        template, group, other = site.template(), site.group(), site.group("second")
        wanted = {
            "template": template,
            "image": "ami-00000001",
            "type": "c5.xlarge",
            "subnet": site.subnets[0],
            "security_groups": [group],
            "target_groups": [],
            "metadata": "v2",
            "protected": True,
        }
        site.ec2.create_launch_template_version(
            LaunchTemplateId=template,
            LaunchTemplateData={
                "ImageId": "ami-00000001",
                "InstanceType": "c5.xlarge",
                "SecurityGroupIds": [group],
                "DisableApiTermination": True,
                "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            },
        )
        site.ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion="2")
        return case_of(
            site,
            InstanceKind,
            "acme-1",
            wanted,
            {**wanted, "security_groups": sorted([group, other])},
            tamper=lambda one: site.ec2.modify_instance_attribute(InstanceId=one, Groups=[other]),
            foreign=site.instance,
            show=lambda: [
                one["InstanceId"]
                for r in site.ec2.describe_instances(
                    Filters=[{"Name": "tag:Name", "Values": ["theirs"]}]
                )["Reservations"]
                for one in r["Instances"]
            ],
            action="ec2:DescribeInstances",
        )

    def test_what_somebody_weakens_is_drift_and_is_mended(self, case, site):
        instance = case.kind.create(case.key, case.wanted).ids["id"]
        site.ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="optional")
        site.ec2.modify_instance_attribute(
            InstanceId=instance, DisableApiTermination={"Value": False}
        )
        assert case.kind.differences(case.look(), case.wanted) == ("metadata", "protected")
        mended = case.kind.update(case.look(), case.wanted)
        assert mended.ids["id"] == instance
        assert case.kind.differences(mended, case.wanted) == ()

    def test_groups_have_no_order(self, case, site):
        groups = sorted([*case.wanted["security_groups"], site.group("third")], reverse=True)
        found = case.kind.create(case.key, {**case.wanted, "security_groups": groups})
        assert case.kind.differences(found, {**case.wanted, "security_groups": groups}) == ()

    def test_one_that_is_written_back_is_what_it_was(self, case, site):
        """The template has gone on to another AMI; the before-image has not."""
        case.kind.create(case.key, case.wanted)
        before = case.look().raw
        case.kind.delete(case.look())
        (ours,) = site.ec2.describe_launch_templates()["LaunchTemplates"]
        data = {"ImageId": "ami-00000002", "InstanceType": "m5.large"}
        template = ours["LaunchTemplateId"]
        made = site.ec2.create_launch_template_version(
            LaunchTemplateId=template, LaunchTemplateData={**data, "DisableApiTermination": True}
        )
        version = str(made["LaunchTemplateVersion"]["VersionNumber"])
        site.ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion=version)
        case.kind.restore(case.key, before)
        assert case.look().attributes["image"] == "ami-00000001"
        assert case.look().attributes["type"] == "c5.xlarge"

    def test_its_interface_bears_the_mark(self, case, site):
        case.kind.create(case.key, case.wanted)
        ours = [{"Name": "tag:ostiary:name", "Values": ["acme-1"]}]
        assert len(site.ec2.describe_network_interfaces(Filters=ours)["NetworkInterfaces"]) == 1

    def test_it_is_protected_and_goes_all_the_same(self, case, site):
        found = case.kind.create(case.key, case.wanted)
        instance = found.ids["id"]
        with pytest.raises(site.ec2.exceptions.ClientError, match="OperationNotPermitted"):
            site.ec2.terminate_instances(InstanceIds=[instance])
        case.kind.delete(case.look())
        assert case.kind.look(case.key) is None

    def test_a_lost_answer_starts_no_second_one(self, case, site):
        case.kind._make(case.key, case.wanted)
        case.kind._make(case.key, case.wanted)
        alive = [one for one in case.kind._listed() if one.key == case.key]
        assert len(alive) == 1


class TestElasticIp(KindSuite):
    @pytest.fixture
    def case(self, site):
        one, two = site.instance("one"), site.instance("two")

        def tamper(allocation):
            site.ec2.associate_address(
                AllocationId=allocation, InstanceId=two, AllowReassociation=True
            )

        def foreign():
            site.ec2.allocate_address(Domain="vpc")

        return case_of(
            site,
            ElasticIpKind,
            "acme-1",
            {"instance": one},
            {"instance": two},
            tamper=tamper,
            foreign=foreign,
            show=lambda: [
                a for a in site.ec2.describe_addresses()["Addresses"] if not a.get("Tags")
            ],
            action="ec2:DescribeAddresses",
        )

    def test_a_lost_answer_leaves_one_address(self, case, site):
        lost = site.loses("AllocateAddress")
        case.kind.create(case.key, case.wanted)
        assert not lost.left
        assert len(site.ec2.describe_addresses()["Addresses"]) == 1


class TestLoadBalancer(KindSuite):
    @pytest.fixture
    def case(self, site):
        group, other = site.group(), site.group("second")
        wanted = {
            "scheme": "internet-facing",
            "subnets": site.subnets[:2],
            "security_groups": [group],
            "drop_invalid": True,
        }
        return case_of(
            site,
            LoadBalancerKind,
            "acme",
            wanted,
            {**wanted, "security_groups": [other]},
            tamper=lambda arn: site.elb.modify_load_balancer_attributes(
                LoadBalancerArn=arn,
                Attributes=[
                    {"Key": "routing.http.drop_invalid_header_fields.enabled", "Value": "false"}
                ],
            ),
            foreign=site.balancer,
            show=lambda: site.elb.describe_load_balancers(Names=["theirs"])["LoadBalancers"],
            action="elasticloadbalancing:DescribeLoadBalancers",
        )


class TestTargetGroup(KindSuite):
    @pytest.fixture
    def case(self, site):
        stranger = site.instance("stranger")
        wanted = {
            "vpc": site.vpc,
            "protocol": "HTTPS",
            "port": 443,
            "health_path": "/",
            "health_codes": "200-499",
            "stickiness": 28800,
            "strangers": [],
        }

        def foreign():
            site.elb.create_target_group(Name="theirs", Protocol="HTTP", Port=80, VpcId=site.vpc)

        return case_of(
            site,
            TargetGroupKind,
            "acme",
            wanted,
            {**wanted, "stickiness": 3600, "health_path": "/alive"},
            tamper=lambda arn: site.elb.register_targets(
                TargetGroupArn=arn, Targets=[{"Id": stranger}]
            ),
            foreign=foreign,
            show=lambda: site.elb.describe_target_groups(Names=["theirs"])["TargetGroups"],
            action="elasticloadbalancing:DescribeTargetGroups",
        )


class TestListener(KindSuite):
    @pytest.fixture
    def case(self, site):
        arn = site.balancer("acme")
        site.elb.add_tags(ResourceArns=[arn], Tags=[OURS])
        group = site.elb.create_target_group(Name="acme", Protocol="HTTP", Port=80, VpcId=site.vpc)
        target = group["TargetGroups"][0]["TargetGroupArn"]
        wanted = {
            "load_balancer": arn,
            "port": 80,
            "protocol": "HTTP",
            "certificate": "",
            "policy": "",
            "target_group": "",
            "redirect": True,
        }
        forward = [{"Type": "forward", "TargetGroupArn": target}]

        def foreign():
            site.elb.create_listener(
                LoadBalancerArn=arn, Port=8080, Protocol="HTTP", DefaultActions=forward
            )

        return case_of(
            site,
            ListenerKind,
            "acme-http",
            wanted,
            {**wanted, "target_group": target, "redirect": False},
            tamper=lambda listener: site.elb.modify_listener(ListenerArn=listener, Port=8081),
            foreign=foreign,
            show=lambda: [
                one
                for one in site.elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]
                if one["Port"] == 8080
            ],
            action="elasticloadbalancing:DescribeListeners",
        )

    def test_the_policy_takes_tls_1_2_and_1_3_alone(self):
        assert "TLS13-1-2" in TLS_POLICY
