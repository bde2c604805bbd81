"""A small organization in the sandbox and an ``Aws`` that reaches it in process."""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.aws.account_reading import Readings
from ostiary.aws.clients import Clients
from ostiary.aws.session import Aws
from ostiary.sandbox.adapters import aws_hook
from ostiary.sandbox.aws.state import Cloud
from ostiary.sandbox.world import World

MANAGEMENT = "100000000001"
CORE = "111122223333"
TEAM = "222233334444"
ESTATE = "acme"


@dataclass
class AwsWorld:
    world: World
    aws: Aws

    @property
    def cloud(self) -> Cloud:
        return self.world.aws

    @property
    def core(self):
        return self.cloud.account(CORE)

    def again(self, **options) -> Aws:
        """The same caller, knowing nothing yet."""
        return Aws(clients=SHARED, **options)

    def readings(self) -> Readings:
        return Readings(self.aws)

    def counted(self, *operations: str) -> int:
        return sum(call[1] in operations for call in self.world.calls)


_now: list[World] = []


def _answer(**event):
    return aws_hook(_now[-1])(**event)


def join(client):
    """Every botocore client of these tests asks the world of the test that runs."""
    client.meta.events.register("before-send", _answer)


SHARED = Clients(on_client=join)  # making clients is most of the time of a test


def small_organization(monkeypatch, **options) -> AwsWorld:
    """Management account with an administrator, ``CORE`` in /Workloads, ``TEAM`` at the root."""
    world = World()
    _now.append(world)
    world.aws = cloud = Cloud(world.clock)
    organization = cloud.add_organization("aws", "management", MANAGEMENT)
    workloads = cloud.add_ou(organization, "Workloads")
    cloud.add_account(CORE, "core", organization=organization, ou=workloads.id, alias="acme-core")
    cloud.add_account(TEAM, "team", organization=organization, tags={"team": "blue"})
    key, secret = cloud.add_user(
        MANAGEMENT, "admin", ["arn:aws:iam::aws:policy/AdministratorAccess"]
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    return AwsWorld(world, Aws(clients=SHARED, **options))
