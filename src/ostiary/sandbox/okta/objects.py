"""What an org holds, as plain values. Ids are 20 characters; times are seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ostiary.sandbox.okta.signing import SigningKey

SIGN_IN_STATUSES = frozenset({"ACTIVE", "PASSWORD_EXPIRED", "LOCKED_OUT", "RECOVERY"})
RULE_STATUSES = SIGN_IN_STATUSES | {"SUSPENDED"}


@dataclass(slots=True)
class User:
    """One person. ``factor_step`` is the last TOTP step that was accepted: a code works once."""

    id: str
    profile: dict[str, Any]
    status: str
    created: float
    updated: float
    password: str | None = field(default=None, repr=False)
    totp_secret: str | None = field(default=None, repr=False)
    factor_id: str = ""
    factor_step: int = -1
    failures: int = 0
    factor_failures: int = 0
    last_login: float | None = None
    status_changed: float | None = None
    password_changed: float | None = None
    admin_role: str | None = None

    @property
    def login(self) -> str:
        return str(self.profile["login"])

    @property
    def name(self) -> str:
        return f"{self.profile['firstName']} {self.profile['lastName']}"


@dataclass(slots=True)
class Group:
    """A group. ``direct`` was added by hand, ``by_rule`` maps a rule id to the user ids that it gave."""

    id: str
    name: str
    description: str | None
    kind: str
    created: float
    updated: float
    membership_updated: float
    source_app: str | None = None
    direct: set[str] = field(default_factory=set)
    by_rule: dict[str, set[str]] = field(default_factory=dict)

    @property
    def members(self) -> set[str]:
        return self.direct.union(*self.by_rule.values())


@dataclass(slots=True)
class Rule:
    """A group rule. ``targets`` keeps the ids of groups that were deleted: that is what makes it INVALID."""

    id: str
    name: str
    expression: str
    targets: list[str]
    excluded: list[str]
    created: float
    updated: float
    status: str = "INACTIVE"


@dataclass(slots=True)
class AppGroup:
    priority: int
    profile: dict[str, Any]
    updated: float


@dataclass(slots=True)
class AppUser:
    """A person who was assigned by name (scope USER); members of assigned groups have no record."""

    user_name: str
    profile: dict[str, Any]
    created: float
    updated: float


@dataclass(slots=True)
class App:
    """One application. ``key`` is Okta's app name (``amazon_aws``), ``external`` the ``exk…`` id of its SSO URL.

    ``fields`` are top-level members of the API object that only travel through (visibility, accessibility).
    ``role_enum`` is what Okta's role download would have filled.
    """

    id: str
    key: str
    label: str
    mode: str
    created: float
    updated: float
    settings: dict[str, Any]
    credentials: dict[str, Any]
    external: str
    policy_id: str
    status: str = "ACTIVE"
    fields: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, SigningKey] = field(default_factory=dict)
    groups: dict[str, AppGroup] = field(default_factory=dict)
    users: dict[str, AppUser] = field(default_factory=dict)
    grants: dict[str, str] = field(default_factory=dict)
    admin_roles: dict[str, str] = field(default_factory=dict)
    groups_claim: str = ""  # regex of the claim ``groups``, set on the app's Sign On tab
    role_enum: list[str] = field(default_factory=list)
    role_union: bool = False
    features: list[str] = field(default_factory=list)

    @property
    def options(self) -> dict[str, Any]:
        """``settings.app``: the 15 values of an ``amazon_aws`` app."""
        found: dict[str, Any] = self.settings.get("app", {})
        return found

    @property
    def client(self) -> dict[str, Any]:
        """``settings.oauthClient`` of an ``oidc_client`` app."""
        found: dict[str, Any] = self.settings.get("oauthClient", {})
        return found


@dataclass(slots=True)
class Policy:
    """An authentication policy; its one rule asks for a second factor or does not."""

    id: str
    name: str
    mfa: bool
    system: bool
    created: float
    rule_id: str


@dataclass(slots=True)
class Session:
    """A browser session; its id is the value of the ``sid`` cookie."""

    id: str = field(repr=False)
    user_id: str
    created: float
    expires: float
    mfa: bool
    proven: float = 0.0  # when the person last gave a password or a code


@dataclass(slots=True)
class Transaction:
    """An authentication under way; ``token`` is the state token while it lasts, the session token after."""

    token: str = field(repr=False)
    user_id: str
    status: str
    expires: float
    mfa: bool = False
    relay: str | None = None
    enrolling: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """A custom authorization server: its issuer is ``/oauth2/ID``.

    ``groups`` is the regex of a claim of that name, in every ID token ("" for no such claim).
    """

    id: str
    audience: str
    groups: str = ""


@dataclass(frozen=True, slots=True)
class Proven:
    """How a person signed in, as tokens tell it. ``acr`` only where it was asked for; ``server`` "" for the org's own."""

    user_id: str
    mfa: bool
    at: float
    acr: str = ""
    nonce: str = ""
    server: str = ""


@dataclass(slots=True)
class RefreshToken:
    """``family`` is the value of the first of a rotation; ``replaced`` when the next one was given."""

    value: str = field(repr=False)
    family: str = field(repr=False)
    client_id: str
    scopes: tuple[str, ...]
    proven: Proven
    used: float
    replaced: float | None = None


@dataclass(slots=True)
class DeviceGrant:
    """One device authorization. ``proven`` is set once somebody allowed it in a browser."""

    device_code: str = field(repr=False)
    user_code: str
    client_id: str
    scopes: tuple[str, ...]
    expires: float
    server: str = ""
    polled: float | None = None
    proven: Proven | None = None
    denied: bool = False
    used: bool = False


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    value: str = field(repr=False)
    client_id: str
    scopes: tuple[str, ...]
    redirect_uri: str
    challenge: str
    expires: float
    proven: Proven


@dataclass(slots=True)
class Token:
    """An access token or a web SSO token. ``thumbprint`` binds it to a DPoP key."""

    value: str = field(repr=False)
    kind: str
    client_id: str
    scopes: tuple[str, ...]
    expires: float
    user_id: str | None = None
    thumbprint: str | None = None
    app_id: str | None = None
    mfa: bool = False


@dataclass(frozen=True, slots=True)
class ApiToken:
    """An SSWS token: it acts as the administrator who made it, who has one standard role and is never listed."""

    id: str
    owner: User
    value: str = field(repr=False)
    role: str
