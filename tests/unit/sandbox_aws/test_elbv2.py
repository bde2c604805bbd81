"""Load balancers behind the front: what ELB refuses, gives again, and says of its targets."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

MANAGEMENT = "111111111111"
NONE = "0123456789abcdef0"
CERTIFICATE = f"arn:aws:acm:us-east-1:{MANAGEMENT}:certificate/00000000-0000-4000-8000-000000000000"


@pytest.fixture
def ec2(connect, admin):
    return connect("ec2", admin)


@pytest.fixture
def elb(connect, admin):
    return connect("elbv2", admin)


@pytest.fixture
def subnets(ec2):
    found = ec2.describe_subnets()["Subnets"]
    return [one["SubnetId"] for one in sorted(found, key=lambda one: one["AvailabilityZone"])]


@pytest.fixture
def vpc(ec2):
    return ec2.describe_vpcs()["Vpcs"][0]["VpcId"]


@pytest.fixture
def group(ec2, vpc):
    wanted = {"GroupName": "front", "Description": "d", "VpcId": vpc}
    return ec2.create_security_group(**wanted)["GroupId"]


@pytest.fixture
def wanted(subnets, group):
    return {
        "Name": "gateway",
        "Subnets": subnets[:2],
        "SecurityGroups": [group],
        "Tags": [{"Key": "estate", "Value": "gateway/acme"}],
    }


@pytest.fixture
def balancer(elb, wanted):
    return elb.create_load_balancer(**wanted)["LoadBalancers"][0]["LoadBalancerArn"]


@pytest.fixture
def targets(elb, vpc):
    """The ARN of a target group."""
    made = elb.create_target_group(Name="gateway", Protocol="HTTPS", Port=443, VpcId=vpc)
    return made["TargetGroups"][0]["TargetGroupArn"]


@pytest.fixture
def certificate(connect, admin):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gw.acme.example")])
    start = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=90))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    acm = connect("acm", admin)
    pem = made.public_bytes(serialization.Encoding.PEM)
    return acm.import_certificate(Certificate=pem, PrivateKey=private)["CertificateArn"]


@pytest.fixture
def listen(elb, balancer, targets):
    """``listen(**more)``: the arguments of a listener on 443."""

    def listen(**more):
        action = {"Type": "forward", "TargetGroupArn": targets}
        usual = {"LoadBalancerArn": balancer, "Protocol": "HTTPS", "Port": 443}
        return usual | {"DefaultActions": [action]} | more

    return listen


@pytest.fixture
def instance(connect, admin, world, ec2):
    """The id of a running instance."""
    ebs = connect("ebs", admin)
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=0)
    world.clock.advance(5)
    image = ec2.register_image(
        Name="oag",
        Architecture="x86_64",
        VirtualizationType="hvm",
        EnaSupport=True,
        RootDeviceName="/dev/sda1",
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}],
    )["ImageId"]
    run = {"ImageId": image, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
    return ec2.run_instances(**run)["Instances"][0]["InstanceId"]


def test_a_balancer_is_made_once(elb, wanted, balancer, subnets, refusal):
    again = elb.create_load_balancer(**wanted)["LoadBalancers"][0]
    assert again["LoadBalancerArn"] == balancer
    assert (again["Scheme"], again["Type"]) == ("internet-facing", "application")
    for other in ({"Scheme": "internal"}, {"Subnets": subnets[1:3]}):
        code, text = refusal(elb.create_load_balancer, **wanted | other)
        assert code == "DuplicateLoadBalancerName"
        assert text.endswith("exists, but with different settings")
    assert len(elb.describe_load_balancers()["LoadBalancers"]) == 1
    found = elb.describe_load_balancers(Names=["gateway"])["LoadBalancers"][0]
    assert found["State"]["Code"] == "active"
    described = elb.describe_tags(ResourceArns=[balancer])["TagDescriptions"][0]["Tags"]
    assert described == wanted["Tags"]


def test_a_balancer_without_groups_has_the_default_one(elb, ec2, wanted):
    del wanted["SecurityGroups"]
    made = elb.create_load_balancer(**wanted)["LoadBalancers"][0]
    default = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]
    assert made["SecurityGroups"] == [default["GroupId"]]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("g" * 33, "cannot be longer than '32' characters"),
        ("gate_way", "alphanumeric characters and hyphens"),
        ("-gateway", "cannot begin or end with a hyphen"),
        ("internal-gateway", "cannot begin with 'internal-'"),
    ],
)
def test_names_of_balancers(elb, wanted, refusal, name, fault):
    code, text = refusal(elb.create_load_balancer, **wanted | {"Name": name})
    assert code == "ValidationError"
    assert fault in text


def test_a_balancer_needs_two_zones_and_what_is_there(elb, ec2, wanted, *, subnets, vpc, refusal):
    def code(**other):
        return refusal(elb.create_load_balancer, **wanted | other)[0]

    assert refusal(elb.create_load_balancer, **wanted | {"Subnets": subnets[:1]}) == (
        "ValidationError",
        "At least two subnets in two different Availability Zones must be specified",
    )
    assert code(Subnets=[subnets[0], subnets[0]]) == "ValidationError"
    assert code(Subnets=[subnets[0], f"subnet-{NONE}"]) == "SubnetNotFound"
    assert code(SecurityGroups=[f"sg-{NONE}"]) == "InvalidSecurityGroup"
    assert code(Type="network") == "NotImplemented"
    zone = ec2.describe_subnets(SubnetIds=subnets[:1])["Subnets"][0]["AvailabilityZone"]
    more = ec2.create_subnet(VpcId=vpc, CidrBlock="172.31.240.0/20", AvailabilityZone=zone)
    same = [*subnets[:2], more["Subnet"]["SubnetId"]]
    assert code(Subnets=same) == "InvalidConfigurationRequest"
    assert elb.describe_load_balancers()["LoadBalancers"] == []


def test_attributes_and_protection(elb, balancer, refusal):
    def put(key, value):
        return {"LoadBalancerArn": balancer, "Attributes": [{"Key": key, "Value": value}]}

    elb.modify_load_balancer_attributes(**put("deletion_protection.enabled", "true"))
    elb.modify_load_balancer_attributes(
        **put("routing.http.drop_invalid_header_fields.enabled", "true")
    )
    found = elb.describe_load_balancer_attributes(LoadBalancerArn=balancer)["Attributes"]
    kept = {one["Key"]: one["Value"] for one in found}
    assert kept["routing.http.drop_invalid_header_fields.enabled"] == "true"
    wrong = refusal(elb.modify_load_balancer_attributes, **put("nonsense", "true"))
    assert wrong[0] == "InvalidConfigurationRequest"
    assert refusal(elb.delete_load_balancer, LoadBalancerArn=balancer)[0] == "OperationNotPermitted"
    elb.modify_load_balancer_attributes(**put("deletion_protection.enabled", "false"))
    elb.delete_load_balancer(LoadBalancerArn=balancer)
    assert refusal(elb.describe_load_balancers, Names=["gateway"])[0] == "LoadBalancerNotFound"


def test_a_target_group_is_made_once(elb, vpc, targets, refusal):
    usual = {"Name": "gateway", "Protocol": "HTTPS", "Port": 443, "VpcId": vpc}
    again = elb.create_target_group(**usual)["TargetGroups"][0]
    assert again["TargetGroupArn"] == targets
    code = refusal(elb.create_target_group, **usual | {"Port": 8443})[0]
    assert code == "DuplicateTargetGroupName"
    assert refusal(elb.create_target_group, **usual | {"Name": "a_b"})[0] == "ValidationError"
    strange = usual | {"Name": "b", "VpcId": f"vpc-{NONE}"}
    assert refusal(elb.create_target_group, **strange)[0] == "ValidationError"


def test_listeners(elb, listen, certificate, balancer, refusal):
    assert refusal(elb.create_listener, **listen())[0] == "ValidationError"
    unknown = listen(Certificates=[{"CertificateArn": CERTIFICATE}])
    assert refusal(elb.create_listener, **unknown)[0] == "CertificateNotFound"
    mine = {"Certificates": [{"CertificateArn": certificate}]}
    none = [{"Type": "forward", "TargetGroupArn": f"{balancer}0"}]
    wrong = listen(**mine, DefaultActions=none)
    assert refusal(elb.create_listener, **wrong)[0] == "TargetGroupNotFound"
    made = elb.create_listener(**listen(**mine, SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06"))
    assert refusal(elb.create_listener, **listen(**mine))[0] == "DuplicateListener"
    arn = made["Listeners"][0]["ListenerArn"]
    change = {"ListenerArn": arn, "Certificates": [{"CertificateArn": CERTIFICATE}]}
    assert refusal(elb.modify_listener, **change)[0] == "CertificateNotFound"
    redirect = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    to_tls = [{"Type": "redirect", "RedirectConfig": redirect}]
    elb.create_listener(**listen(Protocol="HTTP", Port=80, DefaultActions=to_tls))
    found = elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"]
    assert {one["Port"] for one in found} == {80, 443}
    elb.delete_listener(ListenerArn=arn)
    assert refusal(elb.describe_listeners, ListenerArns=[arn])[0] == "ListenerNotFound"


def test_what_is_in_use_stays(elb, ec2, connect, *, admin, listen, certificate, targets, refusal):
    made = elb.create_listener(**listen(Certificates=[{"CertificateArn": certificate}]))
    arn = made["Listeners"][0]["ListenerArn"]
    delete = {"TargetGroupArn": targets}
    assert refusal(elb.delete_target_group, **delete)[0] == "ResourceInUse"
    group = elb.describe_load_balancers()["LoadBalancers"][0]["SecurityGroups"][0]
    assert refusal(ec2.delete_security_group, GroupId=group)[0] == "DependencyViolation"
    acm = connect("acm", admin)
    code = refusal(acm.delete_certificate, CertificateArn=certificate)[0]
    assert code == "ResourceInUseException"
    elb.delete_listener(ListenerArn=arn)
    elb.delete_target_group(**delete)
    acm.delete_certificate(CertificateArn=certificate)


def test_targets_and_their_health(elb, ec2, *, listen, certificate, targets, instance, refusal):
    def health():
        found = elb.describe_target_health(TargetGroupArn=targets)["TargetHealthDescriptions"]
        return [
            (one["Target"]["Id"], one["TargetHealth"]["State"], one["TargetHealth"].get("Reason"))
            for one in found
        ]

    strange = {"TargetGroupArn": targets, "Targets": [{"Id": f"i-{NONE}"}]}
    assert refusal(elb.register_targets, **strange)[0] == "InvalidTarget"
    mine = {"TargetGroupArn": targets, "Targets": [{"Id": instance, "Port": 443}]}
    elb.register_targets(**mine)
    assert health() == [(instance, "unused", "Target.NotInUse")]
    elb.create_listener(**listen(Certificates=[{"CertificateArn": certificate}]))
    assert health() == [(instance, "healthy", None)]
    ec2.stop_instances(InstanceIds=[instance])
    assert health() == [(instance, "unused", "Target.InvalidState")]
    assert refusal(elb.register_targets, **mine)[0] == "InvalidTarget"
    elb.deregister_targets(**mine)
    assert health() == []
    asked = elb.describe_target_health(**mine)["TargetHealthDescriptions"][0]["TargetHealth"]
    assert asked["Reason"] == "Target.NotRegistered"


def test_only_who_may(elb, connect, world, balancer, refusal):
    nobody = connect("elbv2", world.aws.add_user(MANAGEMENT, "nobody", []))
    assert refusal(nobody.describe_load_balancers)[0] == "AccessDenied"
    statement = {"Effect": "Allow", "Action": "elasticloadbalancing:*", "Resource": f"{balancer}x"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    clerk = connect("elbv2", world.aws.add_user(MANAGEMENT, "clerk", [policy]))
    assert refusal(clerk.delete_load_balancer, LoadBalancerArn=balancer)[0] == "AccessDenied"
    world.switches.denied = {(MANAGEMENT, "elasticloadbalancing:DeleteLoadBalancer")}
    assert refusal(elb.delete_load_balancer, LoadBalancerArn=balancer)[0] == "AccessDenied"
