"""Worlds of any size: an Okta org and an AWS organization of N accounts, and an estate of three roles in each.

In process (``Fleet.work``) the product's own clients talk to the handlers of the sandbox by transports and no socket is
opened; ``serving`` is for the command itself, over HTTPS on loopback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ostiary.connect import Transports, connect
from ostiary.doors.federation.estate_file import read_estate
from ostiary.doors.federation.work import Work
from ostiary.sandbox.adapters import OktaTransport, aws_hook
from ostiary.sandbox.aws.operations import OPERATIONS
from ostiary.sandbox.aws.state import AwsAccount, Cloud
from ostiary.sandbox.okta.state import OktaOrg
from ostiary.sandbox.serve import Listeners
from ostiary.sandbox.world import World
from ostiary.settings import load

Row: TypeAlias = tuple[str, str, str]  # service, operation, account or org

OSTIARY = Path(sys.executable).with_name("ostiary")
MANAGEMENT = "100000000001"
OKTA_URL = "https://acme.okta.example"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
OUS = ("Prod", "Dev")
SOURCES = {"platform": "Administrator", "sre": "PowerUser", "developers": "ReadOnly"}
ROLES = tuple(SOURCES.values())

ESTATE = """\
estate: fleet
version: 1
runs: {store: "file:runs"}
orgs:
  main: {url: "https://acme.okta.example", policy: AWS strong MFA}
organizations:
  commercial:
    reach: {else: [OrganizationAccountAccessRole]}
    protect: {roles: ["BreakGlass*"]}
consoles:
  std: {via: role-groups, org: main, organization: commercial, saml_provider: Okta, session: 4h, app: AWS}
roles:
  Administrator: {description: Everything, policies: ["aws:AdministratorAccess"]}
  PowerUser: {description: Everything but identity, policies: ["aws:PowerUserAccess"], max_session: 8h}
  ReadOnly: {description: Look but do not touch, policies: ["aws:ReadOnlyAccess"], max_session: 12h}
assignments:
"""
PART = 100  # accounts of a part: an assertion holds some 270 roles of one person


@dataclass
class Fleet:
    """A world and the folder of its estate. ``admin_key`` is the management account's administrator."""

    world: World
    folder: Path
    accounts: tuple[str, ...]
    admin_key: tuple[str, str]

    @property
    def cloud(self) -> Cloud:
        return self.world.aws

    @property
    def okta(self) -> OktaOrg:
        return self.world.okta

    @property
    def estate_file(self) -> Path:
        return self.folder / "estate.yaml"

    def account(self, number: int) -> AwsAccount:
        return self.cloud.account(self.accounts[number])

    def env(self) -> dict[str, str]:
        """What reaches this world: in process by transports; served, with the addresses that ``serve`` adds."""
        return {
            "AWS_ACCESS_KEY_ID": self.admin_key[0],
            "AWS_SECRET_ACCESS_KEY": self.admin_key[1],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "OKTA_CLIENT_TOKEN": self.okta.api_token,
        }

    def work(self, purpose: str = "apply", **settings: str) -> Work:
        """The product, knowing nothing yet, bound to this world. ``env`` must be in the environment."""
        chosen = load(
            {f"OSTIARY_{name.upper()}": value for name, value in settings.items()},
            estate_file=str(self.estate_file),
        )
        return Work(
            connect(
                read_estate(chosen.estate_file),
                chosen,
                purpose=purpose,
                transports=Transports(okta=OktaTransport(self.world), aws=self.join),
            )
        )

    def join(self, client: Any) -> None:
        client.meta.events.register("before-send", aws_hook(self.world))

    def calls(self) -> Calls:
        """What was called since the last time."""
        made = Calls(list(self.world.calls), self.accounts)
        self.world.calls.clear()
        return made

    def watch(self, on_call: Callable[[Row], None]) -> None:
        """Tell ``on_call`` of every call before it has any effect; it runs under the world's lock."""
        self.world.calls = Watched(on_call)


@contextmanager
def serving(fleet: Fleet) -> Iterator[Command]:
    """The fleet over HTTPS, and the command line bound to it."""
    listeners = Listeners(fleet.world, fleet.folder)
    text = fleet.estate_file.read_text()
    fleet.estate_file.write_text(text.replace(OKTA_URL, listeners.okta_url))
    ca_file = str(listeners.ca_file)
    env = {
        **fleet.env(),
        "PATH": os.environ["PATH"],
        "HOME": str(fleet.folder),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "AWS_ENDPOINT_URL": listeners.aws_url,
        "AWS_CA_BUNDLE": ca_file,
        "SSL_CERT_FILE": ca_file,
        "NO_PROXY": "localhost",
        "OKTA_CLIENT_ORGURL": listeners.okta_url,
        "OSTIARY_ESTATE": str(fleet.estate_file),
    }
    listeners.start()
    try:
        yield Command(env, fleet.folder)
    finally:
        listeners.stop()


@dataclass(frozen=True)
class Command:
    """``ostiary`` as a process, in an environment of its own."""

    env: dict[str, str]
    folder: Path

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [OSTIARY, *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *arguments: str, **options: Any) -> Ended:
        return self.wait(self.start(*arguments, **options))

    def wait(self, process: subprocess.Popen[str], seconds: float = 120) -> Ended:
        stdout, stderr = process.communicate(timeout=seconds)
        return Ended(process.returncode, stdout, stderr)


@dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class Watched(list[Row]):
    def __init__(self, on_call: Callable[[Row], None]) -> None:
        super().__init__()
        self._on_call = on_call

    def append(self, row: Row) -> None:
        super().append(row)
        self._on_call(row)


@dataclass(frozen=True)
class Calls:
    """Calls in the order in which the world saw them."""

    rows: list[Row]
    accounts: Collection[str]

    @property
    def mutating(self) -> list[Row]:
        return [row for row in self.rows if mutates(row)]

    def aws(self) -> Counter[str]:
        return Counter(name for service, name, _ in self.rows if service != "okta")

    def okta(self) -> Counter[str]:
        return Counter(name for service, name, _ in self.rows if service == "okta")

    def in_account(self, account: str) -> Counter[str]:
        return Counter(name for _, name, place in self.rows if place == account)


def mutates(row: Row) -> bool:
    service, name, _ = row
    if service == "okta":
        return not name.startswith("GET ")
    known = OPERATIONS.get((service, name))
    return known.mutates if known else not name.startswith(("Get", "List", "Describe"))


def fleet(folder: Path, number: int, *, estate: str = ESTATE, people: int = 6) -> Fleet:
    """``number`` member accounts, each with a BreakGlass role, and ``people`` in three source groups.

    They lie in parts of ``PART`` accounts: an OU with ``OUS`` below it, and source groups of its own.
    """
    world = World()
    world.aws = cloud = Cloud(world.clock)
    organization = cloud.add_organization("aws", "management", MANAGEMENT)
    parts = [f"Part-{index}" for index in range(-(-number // PART))]
    units = []
    for part in parts:
        above = cloud.add_ou(organization, part)
        units.append([cloud.add_ou(organization, ou, above.id).id for ou in OUS])
    accounts = tuple(str(200_000_000_001 + index) for index in range(number))
    for index, account in enumerate(accounts):
        cloud.add_account(
            account,
            f"account-{index}",
            organization=organization,
            ou=units[index // PART][index % len(OUS)],
            alias=f"acme-{index}",
        )
        trust = trust_of(f"arn:aws:iam::{MANAGEMENT}:root")
        cloud.add_role(account, "BreakGlass", trust, managed=(ADMINISTRATOR,))
    world.okta = okta = OktaOrg(world)
    okta.add_policy("AWS strong MFA", mfa=True)
    sources = [f"{source}-{index}" for index in range(len(parts)) for source in SOURCES]
    for name in sources:
        okta.add_group(name)
    for index in range(people):
        okta.add_user(
            f"person-{index}@acme.example",
            f"Correct-Horse-{index}",
            first="Person",
            last=str(index),
            groups=(sources[index % len(sources)],),
        )
    folder.mkdir(parents=True, exist_ok=True)
    rules = [
        f"  - {{group: {source}-{index}, may: {role}, in: ['ou:/{part}'], console: std}}\n"
        for index, part in enumerate(parts)
        for source, role in SOURCES.items()
    ]
    (folder / "estate.yaml").write_text(estate + "".join(rules))
    return Fleet(world, folder, accounts, cloud.add_user(MANAGEMENT, "admin", [ADMINISTRATOR]))


def trust_of(principal: str, sid: str = "Theirs") -> Mapping[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": sid,
                "Effect": "Allow",
                "Principal": {"AWS": principal},
                "Action": "sts:AssumeRole",
            }
        ],
    }
