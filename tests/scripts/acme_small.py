"""The world of the transcripts: Acme with three accounts and five people."""

from __future__ import annotations

from ostiary.sandbox.aws.state import Cloud
from ostiary.sandbox.okta.state import OktaOrg
from ostiary.sandbox.seeds import Acme, SeedPerson
from ostiary.sandbox.world import World

MANAGEMENT = "100000000001"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
ACCOUNTS = (
    ("prod-web", "210000000001", "Prod", {"team": "web"}),
    ("dev-web", "220000000001", "Dev", {"team": "web"}),
    ("sandbox-1", "250000000001", "Sandbox", {}),
)
PEOPLE = tuple(
    SeedPerson(f"{name}@acme.example", f"Correct-Horse-{name}-1", groups, "7XXEGDKAXVL552WB")
    for name, groups in (
        ("ada", ("platform-engineering",)),
        ("linus", ("developers",)),
        ("margaret", ("auditors",)),
        ("contractor-1", ()),
        ("mallory", ()),
    )
)


def acme_small(world: World) -> Acme:
    world.aws = Cloud(world.clock)
    world.okta = OktaOrg(world)
    world.okta.add_policy("AWS strong MFA", mfa=True)
    world.okta.add_policy("Password only", mfa=False)
    for name in ("platform-engineering", "developers", "auditors"):
        world.okta.add_group(name)
    for person in PEOPLE:
        first = person.login.partition("@")[0].capitalize()
        world.okta.add_user(
            person.login,
            person.password,
            first=first,
            last="Acme",
            totp_secret=person.totp_secret,
            groups=person.groups,
        )
    organization = world.aws.add_organization("aws", "acme-management", MANAGEMENT)
    for name, account_id, unit, tags in ACCOUNTS:
        world.aws.add_account(
            account_id,
            name,
            organization=organization,
            ou=world.aws.add_ou(organization, unit).id,
            alias=f"acme-{name}",
            tags=tags,
        )
        world.aws.add_role(
            account_id, "BreakGlass", _trust("BreakGlass", MANAGEMENT), managed=(ADMINISTRATOR,)
        )
    world.aws.add_role(
        "210000000001", "Deployer", _trust("Pipeline", "220000000001"), managed=(ADMINISTRATOR,)
    )
    return Acme(
        people=PEOPLE,
        admin_key=world.aws.add_user(MANAGEMENT, "ostiary-admin", [ADMINISTRATOR]),
        gov_key=("", ""),
        api_token=world.okta.api_token,
        native_client_id=world.okta.native_client_id,
    )


def _trust(sid: str, account_id: str) -> dict[str, object]:
    statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
        "Action": "sts:AssumeRole",
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
