"""An EC2 instance with a role in an embedded AWS, and presigned GetCallerIdentity as botocore makes it."""

from __future__ import annotations

import httpx2
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ostiary.sandbox.adapters import answer, aws_handler
from ostiary.sandbox.aws.instance_identity import Instance
from ostiary.sandbox.aws.state import Cloud
from ostiary.sandbox.http import Request
from ostiary.sandbox.world import World

CONTROL = "https://control.acme.example"
ACCOUNT, OTHER = "210000000001", "220000000002"
REGION = "eu-west-1"
ROLE = "WebServer"
HEADER = "x-ostiary-control"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


class AwsTransport(httpx2.BaseTransport):
    """Carries httpx2 requests to the embedded AWS, whatever their host; ``sent`` are those that came."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.handler = aws_handler(world)
        self.sent: list[httpx2.Request] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(request)
        url = request.url
        headers = tuple((name.lower(), value) for name, value in request.headers.items())
        found = answer(
            self.world,
            self.handler,
            Request(
                request.method,
                url.raw_path.decode(),
                headers,
                request.read(),
                f"{url.scheme}://{url.netloc.decode()}",
            ),
        )
        return httpx2.Response(found.status, headers=list(found.headers), content=found.body)


def make_world() -> World:
    """Two accounts, each with a role of one name."""
    world = World()
    world.aws = Cloud(world.clock)
    for account in (ACCOUNT, OTHER):
        world.aws.add_account(account, f"a{account[:3]}")
        world.aws.add_role(account, ROLE, TRUST)
        world.aws.add_role(account, "ci", TRUST, path="/build/")
    return world


def make_instance(world: World, instance_id: str = "i-0123456789abcdef0", **changed) -> Instance:
    values = {
        "account": ACCOUNT,
        "region": REGION,
        "id": instance_id,
        "pending": world.clock.now() - 60,
        "role": ROLE,
        **changed,
    }
    return Instance(**values)


def session_of(world: World, account=ACCOUNT, role=ROLE, name="i-0123456789abcdef0"):
    held = world.aws.account(account)
    return world.aws.new_session(held, held.roles.get(role), name, 3600)


def presigned(session, *, host=f"sts.{REGION}.amazonaws.com", region=REGION, headers=None, url=""):
    """The URL that botocore presigns, with ``headers`` signed beside the host."""
    headers = {HEADER: CONTROL} if headers is None else headers
    target = url or f"https://{host}/?Action=GetCallerIdentity&Version=2011-06-15"
    request = AWSRequest("GET", target, headers=headers)
    credentials = Credentials(session.access_key, session.secret, session.token)
    SigV4QueryAuth(credentials, "sts", region, expires=60).add_auth(request)
    return request.url
