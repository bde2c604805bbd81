"""What an embedded org holds: its objects, its clock and keys, and its System Log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ostiary.sandbox.okta.ids import Mint, base62, stamp
from ostiary.sandbox.okta.limits import Meter
from ostiary.sandbox.okta.objects import (
    ApiToken,
    App,
    AuthorizationCode,
    AuthorizationServer,
    DeviceGrant,
    Group,
    Policy,
    RefreshToken,
    Rule,
    Session,
    Token,
    Transaction,
    User,
)
from ostiary.sandbox.okta.signing import SigningKey

if TYPE_CHECKING:
    from ostiary.sandbox.clock import Clock
    from ostiary.sandbox.world import World


@dataclass(slots=True)
class Holdings:
    """What one org holds; the fields that choose how it behaves are told at ``OktaOrg``."""

    world: World = field(repr=False)
    name: str = "acme"
    url: str = "https://acme.okta.com"
    aws_origin: str = ""
    pipeline: str = "v1"
    profile: str = "workforce"
    scale: float = 20.0
    log_delay: float = 0.0
    reconcile_share: float = 0.0
    require_mfa: bool = False
    codes_once: bool = True
    users: dict[str, User] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)
    apps: dict[str, App] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict, repr=False)
    transactions: dict[str, Transaction] = field(default_factory=dict, repr=False)
    device_grants: dict[str, DeviceGrant] = field(default_factory=dict, repr=False)
    codes: dict[str, AuthorizationCode] = field(default_factory=dict, repr=False)
    tokens: dict[str, Token] = field(default_factory=dict, repr=False)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict, repr=False)
    servers: dict[str, AuthorizationServer] = field(default_factory=dict)
    api_tokens: dict[str, ApiToken] = field(default_factory=dict, repr=False)
    seen_jtis: dict[tuple[str, str], float] = field(default_factory=dict)
    nonces: dict[str, float] = field(default_factory=dict, repr=False)
    log: list[dict[str, Any]] = field(default_factory=list)
    dirty_users: dict[str, float] = field(default_factory=dict)
    dirty_rules: dict[str, float] = field(default_factory=dict)
    meter: Meter = field(init=False)
    mint: Mint = field(init=False)
    id: str = field(init=False)
    everyone: Group = field(init=False)
    default_policy: Policy = field(init=False)
    dashboard: App = field(init=False)
    token_key: SigningKey = field(init=False)
    api_token: str = field(init=False, repr=False)

    @property
    def clock(self) -> Clock:
        return self.world.clock

    # -- secrets and keys: repeatable on purpose, this org keeps nothing that is worth having

    def secret(self, prefix: str, length: int = 42) -> str:
        return prefix + base62(self.mint("", 80).encode(), length - len(prefix))

    def new_key(self, years: int) -> SigningKey:
        return SigningKey(self.mint("", 43), self.name, self.clock.now(), years)

    def add_api_token(self, role: str = "SUPER_ADMIN") -> str:
        """Return a new SSWS token; ``role`` is a standard admin role (see principals.ROLES)."""
        value = self.secret("00")
        now, login = self.clock.now(), f"{role.lower().replace('_', '-')}@{self.name}.example"
        names = {"firstName": "Api", "lastName": "Administrator", "login": login, "email": login}
        owner = User(self.mint("00u"), names, "ACTIVE", now, now, admin_role=role)
        self.api_tokens[value] = ApiToken(self.mint("00T"), owner, value, role)
        return value

    # -- the system log

    def record(
        self,
        event: str,
        actor: tuple[str, str],
        targets: Iterable[tuple[str, str, str]] = (),
        result: str = "SUCCESS",
        reason: str | None = None,
    ) -> None:
        """``actor`` is (id, display name), a target is (id, type, display name)."""
        self.log.append(
            {
                "actor": {"id": actor[0], "type": "User", "displayName": actor[1]},
                "displayMessage": event,
                "eventType": event,
                "outcome": {"result": result, "reason": reason},
                "published": stamp(self.clock.now()),
                "severity": "INFO" if result == "SUCCESS" else "WARN",
                "legacyEventType": None,
                "target": [
                    {"id": id_, "type": type_, "displayName": name} for id_, type_, name in targets
                ],
                "uuid": self.mint("", 36),
                "version": "0",
            }
        )
