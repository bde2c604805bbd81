"""A small cloud, and botocore clients that reach it in process through ``before-send``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


class Pool:
    """Clients for one test after the other, because making one costs more than most tests: all of them reach ``world``."""

    def __init__(self) -> None:
        self.world: World | None = None
        self._session = botocore.session.Session()
        self._idle: dict[tuple, list] = {}
        self._taken: list[tuple[tuple, object]] = []

    def take(self, keys, *how):
        """A client that nobody else in this test has, with these keys (id, secret[, token])."""
        idle = self._idle.setdefault(how, [])
        client = idle.pop() if idle else self._made(*how)
        self._taken.append((how, client))
        held = client._request_signer._credentials
        held.access_key, held.secret_key = keys[:2]
        held.token = keys[2] if len(keys) > 2 else None
        return client

    def give_back(self) -> None:
        while self._taken:
            how, client = self._taken.pop()
            self._idle[how].append(client)

    def _made(self, service, region, url, retries):
        client = self._session.create_client(
            service,
            region_name=region,
            endpoint_url=url,
            aws_access_key_id="none",
            aws_secret_access_key="none",
            config=Config(
                parameter_validation=False,
                retries={"total_max_attempts": retries, "mode": "standard"},
            ),
        )
        client.meta.events.register("before-send", self._answer)
        return client

    def _answer(self, request, **_):
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
                self.world,
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


@pytest.fixture(scope="session")
def _pool():
    return Pool()


@pytest.fixture
def connect(world: World, _pool) -> Iterator[Callable]:
    """``connect(service, keys)`` with keys (id, secret[, token]) or STS Credentials."""
    _pool.world = world

    def connect(service, keys, *, region="us-east-1", url=None, retries=1):
        if isinstance(keys, dict):
            keys = (keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        return _pool.take(keys, service, region, url, retries)

    yield connect
    _pool.world = None
    _pool.give_back()


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
