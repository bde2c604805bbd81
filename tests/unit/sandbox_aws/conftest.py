"""A small cloud, and botocore clients that reach it in process through ``before-send``."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from ostiary.sandbox.aws.front import handle
from ostiary.sandbox.aws.state import AwsOrganization, Cloud
from ostiary.sandbox.http import ConnectionLost, Request
from ostiary.sandbox.world import World

MANAGEMENT, MEMBER, INVITED, GOV = "111111111111", "222222222222", "333333333333", "444444444444"


class _Raw(BytesIO):
    def stream(self, *_, **__):
        yield self.read()


@pytest.fixture
def world() -> World:
    world = World()
    world.aws = Cloud(world.clock)
    organization = world.aws.add_organization("aws", "Management", MANAGEMENT)
    prod = world.aws.add_ou(organization, "Prod")
    world.aws.add_account(MEMBER, "Member", organization=organization, ou=prod.id, alias="member")
    world.aws.add_account(INVITED, "Invited", organization=organization, invited=True)
    world.aws.add_organization("aws-us-gov", "Gov", GOV)
    return world


@pytest.fixture
def organization(world: World) -> AwsOrganization:
    return next(iter(world.aws.organizations.values()))


@pytest.fixture
def admin(world: World) -> tuple[str, str]:
    """Keys of an administrator of the management account."""
    return world.aws.add_user(MANAGEMENT, "admin", ["arn:aws:iam::aws:policy/AdministratorAccess"])


@pytest.fixture(scope="session")
def _session():
    return botocore.session.Session()


@pytest.fixture
def connect(world: World, _session) -> Callable:
    """``connect(service, keys)`` with keys (id, secret[, token]) or STS Credentials."""

    def hook(request, **_):
        parts = urlsplit(request.url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        body = request.body or b""
        body = body.read() if hasattr(body, "read") else body
        headers = [
            (name.lower(), value.decode() if isinstance(value, bytes) else str(value))
            for name, value in request.headers.items()
        ]
        headers.append(("host", parts.netloc))
        try:
            response = handle(
                world,
                Request(
                    request.method,
                    target,
                    tuple(headers),
                    body.encode() if isinstance(body, str) else bytes(body),
                    f"{parts.scheme}://{parts.netloc}",
                ),
            )
        except ConnectionLost as lost:
            raise ConnectionClosedError(endpoint_url=request.url) from lost
        found = HTTPHeaders()
        for name, value in response.headers:
            found[name] = value
        return AWSResponse(request.url, response.status, found, _Raw(response.body))

    def connect(service, keys, *, region="us-east-1", url=None, retries=1):
        if isinstance(keys, dict):
            keys = (keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        client = _session.create_client(
            service,
            region_name=region,
            endpoint_url=url,
            aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
            aws_session_token=keys[2] if len(keys) > 2 else None,
            config=Config(
                parameter_validation=False,
                retries={"total_max_attempts": retries, "mode": "standard"},
            ),
        )
        client.meta.events.register("before-send", hook)
        return client

    return connect


@pytest.fixture
def refusal():
    """Makes a call that must fail; gives its code and its message."""

    def refusal(call, **params) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            call(**params)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]

    return refusal


@pytest.fixture
def iam(connect, admin):
    return connect("iam", admin)


@pytest.fixture
def sts(connect, admin):
    return connect("sts", admin)
