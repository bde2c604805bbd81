"""Whatever a signed caller sends, the answer is AWS's own kind of answer."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from ostiary.sandbox.aws.front import handle
from ostiary.sandbox.aws.operations import OPERATIONS
from ostiary.sandbox.http import Request

ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
FORM = "application/x-www-form-urlencoded"
TARGETS = {"organizations": "AWSOrganizationsV20161128", "kms": "TrentService"}
QUERY = sorted(name for service, name in OPERATIONS if service in {"iam", "sts"})
EC2 = sorted(name for service, name in OPERATIONS if service == "ec2")
ELB = sorted(name for service, name in OPERATIONS if service == "elasticloadbalancing")
JSON = sorted(key for key in OPERATIONS if key[0] in {"organizations", "kms"})
WORDS = st.sampled_from(
    [
        "Ops",
        "a",
        "",
        "\x00",
        "1",
        "true",
        ADMIN,
        "arn:aws:iam::111111111111:role/Ops",
        "arn:aws:iam::222222222222:role/OrganizationAccountAccessRole",
        json.dumps({"Version": "2012-10-17", "Statement": [5]}),
        json.dumps({"Statement": {"Effect": "Allow", "Action": [None], "Principal": {"AWS": [3]}}}),
        "[" * 5000,
        "\ud7ff\u2028",
    ]
)
NAMES = st.sampled_from(
    [
        "RoleName",
        "UserName",
        "GroupName",
        "PolicyName",
        "PolicyArn",
        "PolicyDocument",
        "AssumeRolePolicyDocument",
        "RoleArn",
        "RoleSessionName",
        "SAMLProviderArn",
        "Marker",
        "MaxItems",
        "Path",
        "Tags.member.1.Key",
        "Tags.member.1.Value",
        "Tags.member.x",
        "Tags",
        "TagKeys.member.1",
        "VersionId",
        "AccessKeyId",
        "PolicySourceArn",
        "ActionNames.member.1",
        "Filter.member.1",
        "Policy",
        "AccountAlias",
        "Description",
    ]
)
OF_EC2 = st.sampled_from(
    [
        "AllocationId",
        "DryRun",
        "Filter.1.Name",
        "Filter.1.Value.1",
        "GroupId",
        "GroupName",
        "ImageId",
        "InstanceId.1",
        "IpPermissions.1.IpProtocol",
        "LaunchTemplate.Version",
        "LaunchTemplateName",
        "MaxCount",
        "MaxResults",
        "MinCount",
        "NextToken",
        "ResourceId.1",
        "SnapshotId.1",
        "SubnetId",
        "Tag.1.Key",
        "VpcId",
    ]
)
OF_ELB = st.sampled_from(
    [
        "Attributes.member.1.Key",
        "DefaultActions.member.1.Type",
        "ListenerArn",
        "LoadBalancerArn",
        "Name",
        "Names.member.1",
        "Port",
        "Protocol",
        "ResourceArns.member.1",
        "Subnets.member.1",
        "TargetGroupArn",
        "Targets.member.1.Id",
        "VpcId",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
MEMBERS = st.sampled_from(
    [
        "ParentId",
        "ChildId",
        "ChildType",
        "NextToken",
        "MaxResults",
        "AccountId",
        "ResourceId",
        "KeyId",
        "TargetKeyId",
        "AliasName",
        "CiphertextBlob",
        "Plaintext",
        "AccountName",
        "Tags",
    ]
)
few = settings(
    max_examples=examples(15, 60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def send(world, admin):
    def send(service, method, target, body=b"", headers=()):
        signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(
            Credentials(*admin), service, "us-east-1"
        )
        request = AWSRequest(method, f"https://localhost{target}", headers=dict(headers), data=body)
        signer.add_auth(request)
        sent = tuple((name.lower(), str(value)) for name, value in request.headers.items())
        return handle(
            world,
            Request(method, target, (*sent, ("host", "localhost")), body, "https://localhost"),
        )

    return send


@given(action=st.sampled_from(QUERY), form=st.dictionaries(NAMES, WORDS, max_size=6))
@few
@pytest.mark.chaos
def test_query_services(send, action, form):
    service = "iam" if ("iam", action) in OPERATIONS else "sts"
    body = urlencode({"Action": action, "Version": "x", **form}).encode()
    response = send(service, "POST", "/", body, [("content-type", FORM)])
    assert response.status < 500
    assert etree.fromstring(response.body).tag.endswith(("Response", "ErrorResponse"))


@given(action=st.sampled_from(EC2), form=st.dictionaries(OF_EC2, WORDS, max_size=6))
@few
@pytest.mark.chaos
def test_ec2(send, action, form):
    body = urlencode({"Action": action, "Version": "2016-11-15", **form}).encode()
    response = send("ec2", "POST", "/", body, [("content-type", FORM)])
    assert response.status < 500 or b"<Code>NotImplemented</Code>" in response.body
    assert etree.fromstring(response.body).tag.endswith("Response")


@given(action=st.sampled_from(ELB), form=st.dictionaries(OF_ELB, WORDS, max_size=6))
@few
@pytest.mark.chaos
def test_load_balancing(send, action, form):
    body = urlencode({"Action": action, "Version": "2015-12-01", **form}).encode()
    response = send("elasticloadbalancing", "POST", "/", body, [("content-type", FORM)])
    assert response.status < 500 or b"<Code>NotImplemented</Code>" in response.body
    assert etree.fromstring(response.body).tag.endswith(("Response", "ErrorResponse"))


@given(operation=st.sampled_from(JSON), body=st.dictionaries(MEMBERS, VALUES, max_size=4))
@few
@pytest.mark.chaos
def test_json_services(send, operation, body):
    service, name = operation
    headers = [("x-amz-target", f"{TARGETS[service]}.{name}")]
    response = send(service, "POST", "/", json.dumps(body).encode(), headers)
    assert response.status < 500
    json.loads(response.body)


def test_junk_bodies(send):
    for body in (b"[" * 9000, b"\xff", b"5", b""):
        headers = [("x-amz-target", "AWSOrganizationsV20161128.ListRoots")]
        assert send("organizations", "POST", "/", body, headers).status in {200, 400}
        assert send("iam", "POST", "/", body, [("content-type", FORM)]).status == 400
