"""The embedded AWS: accounts, organizations and every credential, as one mutable value with builder methods."""

from __future__ import annotations

import random
import string
from collections.abc import Mapping, Sequence
from typing import Any

from ostiary.model.partition import PARTITIONS, Partition
from ostiary.sandbox.aws.account_state import AwsAccount, AwsOrganization, OrganizationalUnit
from ostiary.sandbox.aws.ec2_launches import Launches
from ostiary.sandbox.aws.iam_state import (
    AccessKey,
    AwsError,
    Document,
    IamGroup,
    IamUser,
    ManagedPolicy,
    Role,
    SamlProvider,
    Session,
    Shelf,
)
from ostiary.sandbox.aws.images.state import Images
from ostiary.sandbox.aws.s3_uploads import Uploads
from ostiary.sandbox.clock import Clock

__all__ = [
    "AccessKey",
    "AwsAccount",
    "AwsError",
    "AwsOrganization",
    "Cloud",
    "Document",
    "IamGroup",
    "IamUser",
    "ManagedPolicy",
    "OrganizationalUnit",
    "Role",
    "SamlProvider",
    "Session",
    "Shelf",
]

ACCESS_ROLE = "OrganizationAccountAccessRole"
_ID_LETTERS = string.ascii_uppercase + "234567"
_SECRET_LETTERS = string.ascii_letters + string.digits + "/+"


class Cloud:
    """Every partition in one value. ``keys`` resolves an access key id to its AccessKey or Session.

    Ids and secrets come from a fixed random sequence: the same seed builds the same cloud.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.accounts: dict[str, AwsAccount] = {}
        self.organizations: dict[str, AwsOrganization] = {}
        self.keys: dict[str, AccessKey | Session] = {}
        self.behind: dict[
            str, dict[str, Any]
        ] = {}  # what moto holds for this cloud (see behind.py)
        self.images = Images(self.new_hex)
        self.launches = Launches()
        self.uploads = Uploads()
        self.bucket_policies: dict[str, str] = {}  # by name of the bucket, as they came
        self._random = random.Random(60002)  # noqa: S311 - a repeatable world; nothing here guards anything real

    @property
    def partitions(self) -> Mapping[str, Partition]:
        """The partitions in which there is an account."""
        return {
            account.partition: PARTITIONS[account.partition] for account in self.accounts.values()
        }

    def new_id(self, prefix: str, length: int = 17) -> str:
        """A unique id in AWS's form: ``AROA`` and 17 letters."""
        return prefix + "".join(self._random.choices(_ID_LETTERS, k=length))

    def new_hex(self, length: int) -> str:
        return f"{self._random.getrandbits(4 * length):0{length}x}"

    def new_account_id(self) -> str:
        while (text := f"{self._random.randrange(10**11, 10**12)}") in self.accounts:
            pass
        return text

    def new_secret(self, length: int = 40) -> str:
        return "".join(self._random.choices(_SECRET_LETTERS, k=length))

    # organizations

    def add_organization(
        self, partition: str, management_name: str, management_id: str, *, email: str = ""
    ) -> AwsOrganization:
        """A new organization with its management account and a root."""
        root = f"r-{self.new_hex(4)}"
        organization = AwsOrganization(partition, f"o-{self.new_hex(10)}", root, management_id)
        self.organizations[organization.id] = organization
        self.add_account(
            management_id, management_name, partition=partition, email=email, invited=True
        )
        self._join(self.accounts[management_id], organization, root)
        return organization

    def add_ou(
        self,
        organization: AwsOrganization,
        name: str,
        parent: str = "",
        *,
        tags: Mapping[str, str] | None = None,
    ) -> OrganizationalUnit:
        """A new OU below ``parent`` (an OU id; the root when empty)."""
        unit = OrganizationalUnit(
            f"ou-{organization.root[2:]}-{self.new_hex(8)}",
            name,
            parent or organization.root,
            dict(tags or {}),
        )
        organization.ous[unit.id] = unit
        return unit

    def add_account(
        self,
        account_id: str,
        name: str,
        *,
        organization: AwsOrganization | None = None,
        ou: str = "",
        partition: str = "",
        email: str = "",
        alias: str = "",
        status: str = "ACTIVE",
        tags: Mapping[str, str] | None = None,
        invited: bool = False,
        access_role: str = ACCESS_ROLE,
    ) -> AwsAccount:
        """A new account, a member of ``organization`` when given (below ``ou``, an OU id; default the root).

        A member that Organizations created trusts the management account through ``access_role``; an
        invited one does not.
        """
        if len(account_id) != 12 or not account_id.isdigit() or account_id in self.accounts:  # noqa: PLR2004
            raise ValueError(f"account id {account_id!r} is not 12 digits or exists already")
        account = AwsAccount(
            account_id,
            name,
            partition or (organization.partition if organization else "aws"),
            email=email or f"{name.lower().replace(' ', '-')}@aws.example",
            status=status,
            tags=dict(tags or {}),
            alias=alias,
            joined=self.clock.now(),
            invited=invited,
        )
        self.accounts[account_id] = account
        if organization is not None:
            self._join(account, organization, ou or organization.root)
            if not invited:
                management = self.accounts[organization.management_id].arn("root")
                self.add_role(
                    account_id,
                    access_role,
                    {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Principal": {"AWS": management},
                                "Action": "sts:AssumeRole",
                            }
                        ],
                    },
                    managed=(
                        PARTITIONS[account.partition].managed_policy_arn("AdministratorAccess"),
                    ),
                )
        return account

    def _join(self, account: AwsAccount, organization: AwsOrganization, parent_id: str) -> None:
        account.organization, account.ou_id = organization.id, parent_id

    def organization_of(self, account: AwsAccount) -> AwsOrganization | None:
        return self.organizations.get(account.organization)

    # principals

    def add_role(
        self,
        account_id: str,
        name: str,
        trust: Document,
        *,
        path: str = "/",
        managed: Sequence[str] = (),
        inline: Mapping[str, Document] | None = None,
        description: str = "",
        max_session: int = 3600,
        boundary: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Role:
        """A role as it stands (no check is made: a seed may build what AWS would refuse today)."""
        account = self.account(account_id)
        role = Role(
            name,
            account.arn(f"role{path}{name}"),
            self.new_id("AROA"),
            trust,
            path=path,
            description=description,
            max_session=max_session,
            boundary=boundary,
            tags=dict(tags or {}),
            managed=tuple(managed),
            inline=dict(inline or {}),
            created=self.clock.now(),
        )
        return account.roles.put(role)

    def add_user(
        self,
        account_id: str,
        name: str,
        policies: Sequence[str | Document] = (),
        *,
        path: str = "/",
    ) -> tuple[str, str]:
        """A new IamUser; ``policies`` are managed policy ARNs or documents. Returns (access key, secret)."""
        account = self.account(account_id)
        key = self.new_access_key(account_id, name)
        user = IamUser(
            name,
            account.arn(f"user{path}{name}"),
            self.new_id("AIDA"),
            path=path,
            managed=tuple(policy for policy in policies if isinstance(policy, str)),
            inline={
                f"policy-{number}": policy
                for number, policy in enumerate(policies)
                if not isinstance(policy, str)
            },
            access_keys=(key,),
            created=self.clock.now(),
        )
        account.users.put(user)
        return key.id, key.secret

    def new_access_key(self, account_id: str, user: str) -> AccessKey:
        """A long-lived key; ``user`` "" makes it the root user's."""
        key = AccessKey(
            self.new_id("AKIA", 16), self.new_secret(), account_id, user, self.clock.now()
        )
        self.keys[key.id] = key
        return key

    def new_session(
        self,
        account: AwsAccount,
        role: Role | IamUser,
        session_name: str,
        duration: float,
        *,
        policies: Sequence[Document] = (),
        tags: Mapping[str, str] | None = None,
        transitive_tags: Sequence[str] = (),
        context: Mapping[str, Any] | None = None,
        source_identity: str = "",
        chained: bool = False,
    ) -> Session:
        """Temporary credentials of a role (or of a user: GetSessionToken). ``duration`` is in seconds.

        ``policies`` are the session policies as documents (see ``iam_read.session_policies`` for ARNs).
        """
        now = self.clock.now()
        if len(self.keys) % 512 == 0:
            self._forget_expired(now)
        if isinstance(role, Role):
            arn = (
                f"arn:{account.partition}:sts::{account.id}:assumed-role/{role.name}/{session_name}"
            )
        else:
            arn = role.arn
        session = Session(
            self.new_id("ASIA", 16),
            self.new_secret(),
            "FwoGZXIvYXdzE" + self.new_secret(120),
            account.id,
            arn,
            role.name if isinstance(role, Role) else "",
            session_name,
            now + duration,
            principal_id=role.id,
            issued=now,
            session_policies=tuple(policies),
            tags=dict(tags or {}),
            transitive_tags=tuple(transitive_tags),
            context=dict(context or {}),
            source_identity=source_identity,
            chained=chained,
        )
        self.keys[session.access_key] = session
        return session

    def _forget_expired(self, now: float, kept: float = 3600.0) -> None:
        """Drop sessions that ended an hour ago; until then they answer ExpiredToken."""
        self.keys = {
            name: key
            for name, key in self.keys.items()
            if isinstance(key, AccessKey) or key.expires + kept > now
        }

    # look-ups: what STS and principal checks meet now (writes of a moment ago may not be visible yet)

    def account(self, account_id: str) -> AwsAccount:
        return self.accounts[account_id]

    def role(self, arn: str) -> Role | None:
        """The role with this ARN as it is visible now; role names are case-sensitive here."""
        account, name = self._named(arn, "role/")
        found = account.roles.seen(name, self.clock.now()) if account else None
        return found if found is not None and found.arn == arn else None

    def user(self, arn: str) -> IamUser | None:
        account, name = self._named(arn, "user/")
        found = account.users.seen(name, self.clock.now()) if account else None
        return found if found is not None and found.arn == arn else None

    def saml_provider(self, arn: str) -> SamlProvider | None:
        account, name = self._named(arn, "saml-provider/")
        found = account.saml_providers.seen(name, self.clock.now()) if account else None
        return found if found is not None and found.arn == arn else None

    def _named(self, arn: str, kind: str) -> tuple[AwsAccount | None, str]:
        parts = arn.split(":", 5)
        if len(parts) != 6 or parts[2] != "iam" or not parts[5].startswith(kind):  # noqa: PLR2004
            return None, ""
        return self.accounts.get(parts[4]), parts[5].rsplit("/", 1)[-1]
