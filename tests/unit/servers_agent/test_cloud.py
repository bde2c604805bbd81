"""An EC2 instance says who it is: the sandbox's metadata service is asked, the control plane's own check judges."""

from __future__ import annotations

import time

import httpx2
import pytest
from aws_instance import CONTROL, ROLE, AwsTransport, make_instance, make_world

from ostiary.doors.servers.agent import cloud
from ostiary.doors.servers.agent.files import HostError
from ostiary.doors.servers.control.aws_caller import AwsCallers
from ostiary.errors import Denied
from ostiary.sandbox.aws.imds import MetadataService


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def serving(world):
    """``serving(**changed)``: the metadata service of an instance."""
    return lambda **changed: MetadataService(world, make_instance(world, **changed))


def test_document_signature_and_caller_are_what_the_control_plane_takes(
    world, serving, monkeypatch
):
    with serving() as service:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
        found = cloud.identity(CONTROL)
    assert '"instanceId"' in found.document
    assert "\n" not in found.signature
    with httpx2.Client(transport=AwsTransport(world)) as http:
        callers = AwsCallers(http, CONTROL)
        caller = callers.ask(callers.checked(found.caller, time.time()))
        assert caller.role == ROLE
        other = AwsCallers(http, "https://other.example")
        presigned = other.checked(found.caller, time.time())
        with pytest.raises(Denied):
            other.ask(presigned)


def test_an_instance_without_role_is_told_what_to_do(serving, monkeypatch):
    with serving(role="") as service:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
        with pytest.raises(HostError) as caught:
            cloud.identity(CONTROL)
    assert caught.value.fix == "give the instance a role"


def test_no_service_is_told_what_to_do(monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HostError) as caught:
        cloud.identity(CONTROL)
    assert "--token-file" in caught.value.fix
