"""The estate: which people may enter what, as its owner wrote it. Values only; see ``estate_text`` to read one.

Every item knows its ``place`` (file and line) so that whatever is found wrong with it later, against the
real Okta org or Organization, is reported where it was written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Literal, TypeAlias

from ostiary.errors import EstateError
from ostiary.model.account import Account
from ostiary.model.selector import Selector

if TYPE_CHECKING:
    from ostiary.model.servers import ServerAssignment, ServersSettings

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


NOWHERE = Place("(no file)", 0)
DEFAULT_STORE = "file:.ostiary/runs"


@dataclass(frozen=True, slots=True)
class EnvRef:
    """``${env:NAME}``: looked up when it is used. Only the name is ever shown or saved."""

    name: str

    def __str__(self) -> str:
        return f"${{env:{self.name}}}"


Text: TypeAlias = str | EnvRef


def resolve(value: Text, env: Mapping[str, str]) -> str:
    """The text itself, or the environment variable that it names. Raises EstateError when that is not set."""
    if isinstance(value, str):
        return value
    if value.name not in env:
        raise EstateError(
            f"cannot resolve {value}",
            why="the environment variable is not set",
            fix=f"export {value.name}=...",
        )
    return env[value.name]


@dataclass(frozen=True, slots=True)
class RunsSettings:
    """Where journal, before-images and lease live: ``file:<folder>`` or ``s3://bucket/prefix``."""

    store: Text = DEFAULT_STORE
    kms_key: Text | None = None
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class OrgAuth:
    """An OAuth service app of the org (private_key_jwt). Without one, the API token of the environment is used."""

    client_id: Text
    private_key_file: Text | None = None  # PEM or JWK
    private_key: Text | None = None  # only as ${env:NAME}
    key_id: Text | None = None
    scopes: tuple[str, ...] = ()  # empty: those that the command needs
    dpop: bool = False


@dataclass(frozen=True, slots=True)
class OrgSettings:
    """One Okta org. ``policy`` names the authentication policy of every app that Ostiary makes there.

    ``rule_budget`` is how many group rules the org may hold in all (Okta's default limit is 2,000).
    """

    name: str
    url: Text
    policy: str | None = None
    auth: OrgAuth | None = None
    rule_budget: int = 2000
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class AccountReach:
    """Other role names for one account; None keeps the Organization's."""

    plan: str | None = None
    apply: str | None = None
    fallbacks: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class OrganizationSettings:
    """One AWS Organization, or one account on its own, and how its accounts are reached.

    ``profile`` is of the AWS configuration (None: the default credentials). ``plan`` and ``apply`` are role
    names to assume in each account, ``fallbacks`` the ones tried after them. ``protect_roles`` and
    ``owned_elsewhere`` are role-name globs.
    """

    name: str
    partition: str = "aws"
    profile: str | None = None
    plan: str | None = None
    apply: str | None = None
    fallbacks: tuple[str, ...] = ()
    region: str | None = None  # None: the partition's home region
    external_id: Text | None = None
    protect_roles: tuple[str, ...] = ()
    owned_elsewhere: tuple[str, ...] = ()
    reach_overrides: Mapping[str, AccountReach] = field(default_factory=dict)
    place: Place = NOWHERE

    def reach(self, account_id: str) -> AccountReach:
        """The role names for one account, with every default filled in."""
        other = self.reach_overrides.get(account_id, AccountReach())
        return AccountReach(
            other.plan or self.plan,
            other.apply or self.apply,
            self.fallbacks if other.fallbacks is None else other.fallbacks,
        )

    @property
    def ways_in(self) -> frozenset[str]:
        """Names of the roles by which we enter accounts; what they may do is never ours to write."""
        named: set[str | None] = {
            "OrganizationAccountAccessRole"
        }  # also what a way in falls back to
        for account_id in ("", *self.reach_overrides):
            here = self.reach(account_id)
            named.update((here.plan, here.apply, *(here.fallbacks or ())))
        return frozenset(filter(None, named))


@dataclass(frozen=True, slots=True)
class Console:
    """One way into the AWS consoles of one Organization: an app of the org and its role groups.

    ``group_name`` is the template of role-group names (``aws#{alias}#{role}#{account}``). ``group_filter`` and
    ``role_value_pattern`` are None where the door derives them. ``native_app`` lets
    command-line tools in by the device flow, through the one OIDC app of the estate in this org.
    """

    name: str
    org: str
    organization: str
    via: Literal["role-groups"] = "role-groups"
    saml_provider: str = "Okta"
    session_seconds: int = 3600
    app_label: str = "AWS"
    app_filter: str = "okta"
    group_name: str = "aws#{alias}#{role}#{account}"
    group_filter: str | None = None
    role_value_pattern: str | None = None
    membership: Literal["rules", "direct"] = "rules"
    native_app: bool = True
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """``aws:Name`` (managed by AWS), ``customer:Name`` (must exist in every account), ``file:path`` (inline).

    ``name`` may hold a path (``aws:job-function/ViewOnlyAccess``). ``document`` is the content of a ``file:``.
    """

    kind: Literal["aws", "customer", "file"]
    name: str
    document: Mapping[str, Json] | None = None

    @property
    def inline_name(self) -> str:
        """The name of the inline policy that a ``file:`` becomes: its file name without ``.json``."""
        return self.name.rpartition("/")[2].removesuffix(".json")

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class RoleOverride:
    """What differs in the accounts that ``selector`` covers; None leaves it as the template says."""

    selector: Selector
    policies: tuple[PolicyRef, ...] | None = None
    max_session: int | None = None
    boundary: PolicyRef | None = None
    description: str | None = None
    tags: Mapping[str, str] | None = None
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class RoleTemplate:
    """A role as it is to be in every account where it is assigned.

    ``existing`` roles are made and kept by somebody else: only our trust statement is added. ``max_session``
    is in seconds. Overrides of ``by`` apply in the order written, the last one wins.
    """

    name: str
    description: str = ""
    policies: tuple[PolicyRef, ...] = ()
    max_session: int = 3600
    boundary: PolicyRef | None = None
    existing: bool = False
    by: tuple[RoleOverride, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    place: Place = NOWHERE

    def in_account(self, account: Account) -> RoleTemplate:
        """This template with the overrides for ``account`` worked in."""
        role = self
        for other in self.by:
            if not other.selector.covers(account):
                continue
            role = replace(
                role,
                policies=role.policies if other.policies is None else other.policies,
                max_session=other.max_session or role.max_session,
                boundary=other.boundary or role.boundary,
                description=role.description if other.description is None else other.description,
                tags=role.tags if other.tags is None else other.tags,
            )
        return role


@dataclass(frozen=True, slots=True)
class AssignmentRule:
    """A group or a user may enter roles in the accounts of ``in_`` that ``not_in`` does not take out.

    ``until`` is the last day on which it holds (UTC); required for users, as is ``reason``.
    """

    principal_kind: Literal["group", "user"]
    principal: str  # exact group name, or login
    may: tuple[str, ...]
    in_: tuple[Selector, ...]
    not_in: tuple[Selector, ...] = ()
    until: date | None = None
    reason: str = ""
    consoles: tuple[str, ...] = ()  # never empty once parsed
    place: Place = NOWHERE

    def is_overdue(self, today: date) -> bool:
        return self.until is not None and today > self.until


@dataclass(frozen=True, slots=True)
class Estate:
    """Everything that one estate file says, checked for itself but not yet against the world.

    ``assignments`` are of roles in accounts, ``server_assignments`` of what may be done on servers.
    """

    name: str
    version: int
    orgs: Mapping[str, OrgSettings]
    organizations: Mapping[str, OrganizationSettings]
    consoles: Mapping[str, Console]
    roles: Mapping[str, RoleTemplate]
    assignments: tuple[AssignmentRule, ...]
    runs: RunsSettings = field(default_factory=RunsSettings)
    servers: ServersSettings | None = None
    server_assignments: tuple[ServerAssignment, ...] = ()
    file: str = ""
    text_sha256: str = ""

    @property
    def short_hash(self) -> str:
        """8 hex digits of sha256 of the name: the estate's mark where names are short (Sids, rule names)."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:8]
