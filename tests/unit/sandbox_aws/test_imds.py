"""The metadata service of an instance: tokens first, the document and its signature, credentials of the role."""

import json
import urllib.error
import urllib.request

import pytest
from aws_instance import ACCOUNT, ROLE, AwsTransport, make_instance, make_world
from botocore.credentials import InstanceMetadataProvider
from botocore.utils import InstanceMetadataFetcher

from ostiary.sandbox.aws.imds import Metadata, MetadataService
from ostiary.sandbox.http import Request

TTL = ("x-aws-ec2-metadata-token-ttl-seconds", "60")


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def metadata(world):
    return Metadata(world, make_instance(world))


def token(metadata):
    response = metadata.handle(Request("PUT", "/latest/api/token", (TTL,)))
    assert response.status == 200
    return ("x-aws-ec2-metadata-token", response.body.decode())


def test_nothing_is_said_without_a_token_of_now(world, metadata):
    path = "/latest/dynamic/instance-identity/document"
    assert metadata.handle(Request("GET", path)).status == 401
    assert metadata.handle(Request("GET", path, (("x-aws-ec2-metadata-token", "x"),))).status == 401
    held = token(metadata)
    assert metadata.handle(Request("GET", path, (held,))).status == 200
    world.clock.advance(61)
    assert metadata.handle(Request("GET", path, (held,))).status == 401


@pytest.mark.parametrize("seconds", ["", "0", "21601", "x", "-1"])
def test_a_token_lives_six_hours_at_most(metadata, seconds):
    request = Request("PUT", "/latest/api/token", ((TTL[0], seconds),))
    assert metadata.handle(request).status == 400


def test_a_proxy_on_the_way_gets_no_token(metadata):
    request = Request("PUT", "/latest/api/token", (TTL, ("x-forwarded-for", "10.0.0.1")))
    assert metadata.handle(request).status == 403


def test_the_document_says_which_instance_it_is(metadata):
    held = token(metadata)
    found = metadata.handle(Request("GET", "/latest/dynamic/instance-identity/document", (held,)))
    told = json.loads(found.body)
    assert (told["accountId"], told["instanceId"]) == (ACCOUNT, "i-0123456789abcdef0")
    assert metadata.handle(Request("GET", "/latest/nothing", (held,))).status == 404
    assert metadata.handle(Request("POST", "/latest/api/token", (held,))).status == 405


def test_an_instance_without_a_role_has_no_credentials(world):
    metadata = Metadata(world, make_instance(world, role=""))
    path = "/latest/meta-data/iam/security-credentials/"
    assert metadata.handle(Request("GET", path, (token(metadata),))).status == 404


def test_botocore_gets_credentials_of_the_role(world):
    """A client that we did not write: by the session it is the instance."""
    with MetadataService(world, make_instance(world)) as service:
        fetcher = InstanceMetadataFetcher(timeout=2, num_attempts=1, base_url=service.url)
        found = InstanceMetadataProvider(fetcher).load().get_frozen_credentials()
    session = world.aws.keys[found.access_key]
    assert session.secret == found.secret_key
    assert (
        session.principal_arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/i-0123456789abcdef0"
    )


def test_over_http_an_unknown_path_is_404(world):
    with (
        MetadataService(world, make_instance(world)) as service,
        pytest.raises(urllib.error.HTTPError) as refused,
    ):
        urllib.request.urlopen(f"{service.url}/latest/meta-data/")
    assert refused.value.code == 401
    refused.value.close()


def test_the_transport_of_the_tests_is_the_embedded_aws(world):
    """Unsigned, so refused in AWS's own words."""
    import httpx2  # noqa: PLC0415 - one test wants it

    http = httpx2.Client(transport=AwsTransport(world))
    found = http.get(
        "https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15"
    )
    assert found.status_code == 403
    assert "MissingAuthenticationToken" in found.text
