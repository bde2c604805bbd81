"""The embedded org: what it holds (``holdings.py``), and the builder methods by which seeds and tests fill it.

    world.okta = org = OktaOrg(world)
    org.add_user("ada@acme.example", "pass phrase", first="Ada", last="Byron", groups=("sre",))

Builders act at once and ask for nobody's permission; the API in this package is what refuses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ostiary.sandbox.okta import app_settings
from ostiary.sandbox.okta.directory import Directory
from ostiary.sandbox.okta.ids import Mint
from ostiary.sandbox.okta.limits import Meter
from ostiary.sandbox.okta.objects import App, AppGroup, AppUser, AuthorizationServer, Group, Policy

FIRST_NATIVE_ID = "0oaOstiarySandboxCli"  # announced before the app exists

DASHBOARD_CLIENT = "okta.2b1959c8-bcc0-56eb-a589-cfcfb7422f26"


@dataclass(slots=True)
class OktaOrg(Directory):
    """One org.

    ``aws_origin`` is where the sandbox's AWS sign-in listens (empty: forms go to the real address).
    ``pipeline`` is v1 (classic) or idx. ``profile`` and ``scale`` choose and multiply the rate limits.
    ``log_delay`` seconds pass before an event can be read in the System Log. ``reconcile_share`` of rule changes meet 423. ``codes_once`` refuses a TOTP code that was used before. ``dirty_users`` and ``dirty_rules`` wait for the rule engine.
    """

    def __post_init__(self) -> None:
        self.mint = Mint(self.name)
        self.meter = Meter()
        self.id = self.mint("00o")
        self.token_key = self.new_key(10)
        self.dashboard = self._dashboard()
        self.everyone = self.add_group("Everyone", kind="BUILT_IN")
        self.everyone.description = "All users in your organization"
        self.default_policy = self.add_policy("Default Policy", mfa=False, system=True)
        self.api_token = self.add_api_token("SUPER_ADMIN")

    def _dashboard(self) -> App:
        """The client that every Identity Engine org has for its own dashboard, with Okta's own client id."""
        now = self.clock.now()
        client = {"application_type": "browser", "grant_types": ["authorization_code"]}
        return App(
            DASHBOARD_CLIENT,
            "okta_enduser",
            "Okta Dashboard",
            "OPENID_CONNECT",
            now,
            now,
            {"oauthClient": client},
            {},
            "",
            "",
        )

    def add_group(
        self,
        name: str,
        *,
        kind: str = "OKTA_GROUP",
        source_app: str = "okta",
        description: str = "",
    ) -> Group:
        """``source_app`` is the key of the app that a group of kind APP_GROUP was imported from."""
        if source_app == "okta":
            return self.new_group(name, kind, description=description or None)
        return self.new_group(name, "APP_GROUP", self.source(source_app).id, description or None)

    def source(self, key: str) -> App:
        """The directory app that imported groups come from, made on first use."""
        known = next((app for app in self.apps.values() if app.key == key), None)
        return known or self.add_app(key, key.replace("_", " ").title(), mode="AUTO_LOGIN")

    # -- policies and apps

    def add_policy(self, name: str, mfa: bool = True, *, system: bool = False) -> Policy:
        now = self.clock.now()
        policy = Policy(self.mint("rst"), name, mfa, system, now, self.mint("rul"))
        self.policies[policy.id] = policy
        return policy

    def policy(self, name: str) -> Policy:
        return next(policy for policy in self.policies.values() if policy.name == name)

    def add_app(
        self,
        key: str,
        label: str,
        *,
        mode: str = "SAML_2_0",
        policy: str | None = None,
        options: dict[str, Any] | None = None,
        groups: Iterable[str] = (),
        **settings: Any,
    ) -> App:
        """``options`` are ``settings.app`` (defaults filled in); ``groups`` are assigned by name."""
        now = self.clock.now()
        client = settings.get("oauthClient") or {}
        app = App(
            self._native_id() if client.get("application_type") == "native" else self.mint("0oa"),
            key,
            label,
            mode,
            now,
            now,
            {"app": app_settings.complete(key, options or {}), **settings},
            {},
            self.mint("exk"),
            (self.policy(policy) if policy else self.default_policy).id,
        )
        if mode == "SAML_2_0":
            signing = self.new_key(10)
            app.keys[signing.kid] = signing
            app.credentials["signing"] = {"kid": signing.kid}
        self.apps[app.id] = app
        for priority, name in enumerate(groups):
            app.groups[self.group(name).id] = AppGroup(priority, {}, now)
        return app

    def assign(self, app: App, login: str, profile: dict[str, Any] | None = None) -> None:
        """Assign a person by name (scope USER)."""
        user = self.user(login)
        if user is None:
            raise KeyError(login)
        now = self.clock.now()
        app.users[user.id] = AppUser(user.login, profile or {}, now, now)

    def add_authorization_server(
        self, server_id: str = "default", *, groups: str = ".*"
    ) -> AuthorizationServer:
        """A custom authorization server; ``groups`` is the regex of its claim ``groups``, "" for none."""
        server = AuthorizationServer(server_id, f"api://{server_id}", groups)
        self.servers[server_id] = server
        return server

    def add_native_app(
        self,
        label: str = "Ostiary",
        *,
        policy: str | None = None,
        groups: Iterable[str] = (),
        redirect_uris: Iterable[str] = (),
        refresh: str = "",
        groups_claim: str = "",
    ) -> App:
        """The OIDC native app of the device flow; its client id is its id.

        ``redirect_uris`` permit the code flow, ``refresh`` (STATIC or ROTATE) refresh tokens; ``groups_claim`` is the
        regex of the claim ``groups``, which the org's own server tells at ``/userinfo`` alone.
        """
        grants = [app_settings.DEVICE_CODE, app_settings.TOKEN_EXCHANGE]
        client: dict[str, Any] = {"application_type": "native", "grant_types": grants}
        client |= {"redirect_uris": list(redirect_uris), "response_types": []}
        if client["redirect_uris"]:
            grants.append("authorization_code")
            client["response_types"] = ["code"]
        if refresh:
            grants.append("refresh_token")
            client["refresh_token"] = {"rotation_type": refresh, "leeway": 30}
        app = self.add_app(
            "oidc_client",
            label,
            mode="OPENID_CONNECT",
            policy=policy,
            groups=groups or ("Everyone",),
            oauthClient=client,
        )
        app.groups_claim = groups_claim
        app.credentials["oauthClient"] = _public_client(app.id, "none")
        app.grants = dict.fromkeys(("okta.apps.sso", "okta.apps.read", "okta.users.read.self"), "")
        return app

    @property
    def native_client_id(self) -> str:
        """The client id of the first native app, or the one that it will get: the sandbox announces it."""
        native = (a for a in self.apps.values() if a.client.get("application_type") == "native")
        return next((app.id for app in native), FIRST_NATIVE_ID)

    def _native_id(self) -> str:
        return self.mint("0oa") if FIRST_NATIVE_ID in self.apps else FIRST_NATIVE_ID

    def add_service_app(
        self,
        label: str,
        keys: Iterable[dict[str, Any]],
        *,
        scopes: Iterable[str],
        role: str | None = "SUPER_ADMIN",
        dpop: bool = False,
    ) -> App:
        """An OAuth service app with its public JWKs, granted scopes and admin role."""
        client = {
            "application_type": "service",
            "grant_types": ["client_credentials"],
            "response_types": ["token"],
            "dpop_bound_access_tokens": dpop,
            "jwks": {"keys": list(keys)},
        }
        app = self.add_app("oidc_client", label, mode="OPENID_CONNECT", oauthClient=client)
        app.credentials["oauthClient"] = _public_client(app.id, "private_key_jwt")
        app.grants = {scope: self.mint("oag") for scope in scopes}
        app.admin_roles = {self.mint("irb"): role} if role else {}
        return app

    def enable_api_integration(self, app: App, roles: Iterable[str]) -> None:
        """What Okta's role download would bring, which no Okta API switches on: a switch of the sandbox."""
        app.role_enum = list(roles)
        app.features = ["PUSH_NEW_USERS", "PUSH_PROFILE_UPDATES"]


def _public_client(client_id: str, method: str) -> dict[str, Any]:
    return {
        "autoKeyRotation": True,
        "client_id": client_id,
        "token_endpoint_auth_method": method,
        "pkce_required": method == "none",
    }
