"""The one small world of docs, tests and demo: the Okta org of Acme and its two AWS Organizations.

Names, ids, keys and passwords are the same in every sandbox; none of them opens anything outside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ostiary.sandbox.aws.state import AwsOrganization, Cloud
from ostiary.sandbox.okta.state import OktaOrg
from ostiary.sandbox.world import World


@dataclass(frozen=True, slots=True)
class SeedPerson:
    """A person of Acme and how they sign in. ``totp_secret`` is base32 (RFC 6238, 6 digits, 30 s)."""

    login: str
    password: str
    groups: tuple[str, ...]
    totp_secret: str


@dataclass(frozen=True, slots=True)
class Acme:
    """What the outside needs to know of the seeded world."""

    people: tuple[SeedPerson, ...]
    admin_key: tuple[str, str]  # management-account administrator, commercial partition
    gov_key: tuple[str, str]
    api_token: str
    native_client_id: str


GROUPS = (
    "platform-engineering",
    "sre",
    "developers",
    "auditors",
    "data-engineering",
    "gov-operators",
)

PEOPLE = (
    SeedPerson(
        "ada@acme.example", "Analytical-Engine-1843", ("platform-engineering",), "7XXEGDKAXVL552WB"
    ),
    SeedPerson(
        "grace@acme.example",
        "Nanosecond-Wire-1952",
        ("sre", "platform-engineering"),
        "4AIP2HHBVTAXHY5U",
    ),
    SeedPerson("linus@acme.example", "Penguin-Kernel-1991", ("developers",), "I2PZW3A5NSUAV5LU"),
    SeedPerson(
        "ken@acme.example", "Seventh-Edition-1979", ("developers", "sre"), "PDQLD7NVL3F4MCUN"
    ),
    SeedPerson("margaret@acme.example", "Priority-Display-1969", ("auditors",), "KIWOOBL72BJDVXGW"),
    SeedPerson(
        "edgar@acme.example", "Relational-Model-1970", ("data-engineering",), "RBEYKO4VP7QVHNYF"
    ),
    SeedPerson(
        "katherine@acme.example", "Orbital-Mechanics-1962", ("gov-operators",), "6W7EWYXBYRPWCUNS"
    ),
    SeedPerson("contractor-1@acme.example", "Visiting-Hours-2026", (), "2R5ALVSGT2VZ5PJJ"),
    SeedPerson("mallory@acme.example", "Outside-Looking-In-1", (), "YCSJO5Q3C5JXT3LD"),
)

# (name, id, OU path, tags); aliases are acme-<name> but for one account that has none.
AccountRow: TypeAlias = tuple[str, str, str, dict[str, str]]
ACCOUNTS: tuple[AccountRow, ...] = (
    ("prod-web", "210000000001", "Workloads/Prod", {"team": "web"}),
    ("prod-api", "210000000002", "Workloads/Prod", {"team": "core"}),
    ("prod-ledger", "210000000003", "Workloads/Prod", {"team": "core", "data": "restricted"}),
    ("dev-web", "220000000001", "Workloads/Dev", {"team": "web"}),
    ("dev-api", "220000000002", "Workloads/Dev", {"team": "core"}),
    ("dev-data", "220000000003", "Workloads/Dev", {"team": "data"}),
    ("audit", "230000000001", "Security", {}),
    ("log-archive", "230000000002", "Security", {}),
    ("shared-network", "240000000001", "Shared", {}),
    ("shared-tools", "240000000002", "Shared", {}),
    ("sandbox-1", "250000000001", "Sandbox", {}),
    ("sandbox-2", "250000000002", "Sandbox", {}),
)
GOV_ACCOUNTS: tuple[AccountRow, ...] = (
    ("gov-prod", "310000000001", "Workloads", {}),
    ("gov-dev", "310000000002", "Workloads", {}),
)
WITHOUT_ALIAS = "sandbox-2"
MANAGEMENT_ID = "100000000001"
GOV_MANAGEMENT_ID = "300000000001"
SUSPENDED_ID = "290000000001"


def acme(world: World) -> Acme:
    """Fill ``world`` with Acme, as it is before Ostiary has done anything."""
    world.aws = Cloud(world.clock)
    world.okta = OktaOrg(world)
    _fill_okta(world.okta)
    commercial = world.aws.add_organization("aws", "acme-management", MANAGEMENT_ID)
    _fill_organization(world.aws, commercial, ACCOUNTS)
    suspended = world.aws.add_ou(commercial, "Suspended")
    world.aws.add_account(
        SUSPENDED_ID, "old-project", organization=commercial, ou=suspended.id, status="SUSPENDED"
    )
    _add_existing_roles(world.aws)
    gov = world.aws.add_organization("aws-us-gov", "acme-gov-management", GOV_MANAGEMENT_ID)
    _fill_organization(world.aws, gov, GOV_ACCOUNTS)
    admin = "arn:{}:iam::aws:policy/AdministratorAccess"
    return Acme(
        people=PEOPLE,
        admin_key=world.aws.add_user(MANAGEMENT_ID, "ostiary-admin", [admin.format("aws")]),
        gov_key=world.aws.add_user(
            GOV_MANAGEMENT_ID, "ostiary-admin", [admin.format("aws-us-gov")]
        ),
        api_token=world.okta.api_token,
        native_client_id=world.okta.native_client_id,
    )


def _fill_okta(org: OktaOrg) -> None:
    org.pipeline = "idx"  # the device flow and policies of apps are the Identity Engine's
    org.add_policy("AWS strong MFA", mfa=True)
    for name in GROUPS:
        org.add_group(name)
    for person in PEOPLE:
        first, _, _ = person.login.partition("@")
        org.add_user(
            person.login,
            person.password,
            first=first.capitalize(),
            last="Acme",
            totp_secret=person.totp_secret,
            groups=person.groups,
        )


def _fill_organization(
    cloud: Cloud,
    organization: AwsOrganization,
    accounts: tuple[AccountRow, ...],
) -> None:
    units: dict[str, str] = {"": organization.root}
    for name, account_id, path, tags in accounts:
        walked = ""
        for part in path.split("/"):
            parent, walked = walked, f"{walked}/{part}".strip("/")
            if walked not in units:
                units[walked] = cloud.add_ou(organization, part, units[parent]).id
        cloud.add_account(
            account_id,
            name,
            organization=organization,
            ou=units[path],
            alias="" if name == WITHOUT_ALIAS else f"acme-{name}",
            tags=tags,
        )


def _add_existing_roles(cloud: Cloud) -> None:
    """What every real Organization has before Ostiary comes: roles of other owners, with trusts of their own."""
    for _, account_id, _, _ in ACCOUNTS:
        cloud.add_role(
            account_id,
            "BreakGlass",
            {
                "Version": "2012-10-17",
                "Statement": {
                    "Sid": "BreakGlass",
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{MANAGEMENT_ID}:root"},
                    "Action": "sts:AssumeRole",
                },
            },
            managed=("arn:aws:iam::aws:policy/AdministratorAccess",),
            description="Emergency access, see the runbook",
        )
    cloud.add_role(
        "210000000002",
        "Deployer",
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "Pipeline",
                    "Effect": "Allow",
                    "Principal": {"AWS": "arn:aws:iam::240000000002:root"},
                    "Action": "sts:AssumeRole",
                    "Condition": {"StringEquals": {"sts:ExternalId": "acme-pipeline"}},
                }
            ],
        },
        managed=("arn:aws:iam::aws:policy/PowerUserAccess",),
        description="Used by the pipeline; people enter it through Okta too",
    )
    cloud.add_role(
        "240000000001",
        "tf-network",
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "ec2.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        },
        tags={"owner": "terraform"},
    )
