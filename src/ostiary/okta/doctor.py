"""What a caller may do in an Okta org, found out by reading only, and what to ask for.

A service app needs a scope and an admin role for each call, an API token the role of the admin who made it. Whether
a role may write is read from the role itself, where Okta lets the caller see it. Sources: Okta developer docs,
"OAuth 2.0 scopes"; Okta help, "Standard administrator roles and permissions".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from ostiary.errors import Denied, OstiaryError
from ostiary.okta.auth import ServiceApp
from ostiary.okta.client import OktaClient, segment

_READS = {
    "okta.apps": ("/apps", {"limit": "1"}),
    "okta.groups": ("/groups/rules", {"limit": "1"}),
    "okta.users": ("/users", {"limit": "1"}),
    "okta.policies": ("/policies", {"type": "ACCESS_POLICY", "limit": "1"}),
}
NEEDED = {
    "plan": ("okta.apps.read", "okta.groups.read", "okta.users.read", "okta.policies.read"),
    "apply": ("okta.apps.manage", "okta.groups.manage", "okta.users.read", "okta.policies.read"),
}
_WRITERS = {
    "okta.apps.manage": ("SUPER_ADMIN", "APP_ADMIN"),
    "okta.groups.manage": ("SUPER_ADMIN", "ORG_ADMIN"),  # group administrators may not edit rules
}
_ROLE_NAMES = {
    "SUPER_ADMIN": "Super Administrator",
    "APP_ADMIN": "Application Administrator",
    "ORG_ADMIN": "Organization Administrator",
}
_INVALID_SCOPE = "invalid_scope"


@dataclass(frozen=True, slots=True)
class Probe:
    """``ok`` None: could not be tested. ``ask`` is what to request from whoever can grant it, "" when all is well."""

    permission: str
    ok: bool | None
    ask: str = ""


def okta_probes(client: OktaClient, purpose: str) -> tuple[Probe, ...]:
    """Test what ``purpose`` (plan or apply) needs in one org, scope by scope. Nothing is written."""
    reads = [_scope(client, scope) for scope in NEEDED[purpose]]
    return (*reads, *_roles(client)) if purpose == "apply" else tuple(reads)


def _scope(client: OktaClient, scope: str) -> Probe:
    """One scope alone; ``manage`` holds ``read``, so that reading proves that the scope is granted."""
    auth = client.auth
    path, query = _READS[scope.rpartition(".")[0]]
    try:
        if isinstance(auth, ServiceApp):
            with contextlib.closing(client.with_auth(auth.only(scope))) as asking:
                asking.get(path, query)
        else:
            client.get(path, query)
    except Denied as error:
        return Probe(scope, ok=False, ask=_ask(client, scope, error))
    except OstiaryError as error:
        return Probe(scope, ok=None, ask=f"could not be tested: {error.why}")
    return Probe(scope, ok=True)


def _ask(client: OktaClient, scope: str, error: Denied) -> str:
    auth = client.auth
    if not isinstance(auth, ServiceApp):
        return f"an API token of an administrator with the Read-Only role or more ({error.why})"
    if error.code == _INVALID_SCOPE:
        return f"grant {scope} to service app {auth.client_id} (its page, Okta API Scopes)"
    return f"give service app {auth.client_id} an admin role that may read this ({error.why})"


def _roles(client: OktaClient) -> Iterator[Probe]:
    """Whether an admin role lets the caller write apps and groups."""
    held = _held(client)
    for scope, roles in _WRITERS.items():
        permission = f"admin role for {scope}"
        names = " or ".join(_ROLE_NAMES[role] for role in roles)
        if held is None or "CUSTOM" in held:
            ask = f"cannot be read with this caller: make sure that it is {names}, or a custom role"
            yield Probe(permission, ok=None, ask=ask)
        elif held.isdisjoint(roles):
            yield Probe(permission, ok=False, ask=f"give this caller the role {names}")
        else:
            yield Probe(permission, ok=True)


def _held(client: OktaClient) -> frozenset[str] | None:
    """The caller's admin roles; None when it may not see them."""
    auth = client.auth
    try:
        if isinstance(auth, ServiceApp):
            path = f"/oauth2/v1/clients/{segment(auth.client_id)}/roles"
            with contextlib.closing(client.with_auth(auth.only("okta.roles.read"))) as asking:
                roles = asking.get(path)
        else:
            roles = client.get(f"/users/{segment(client.get('/users/me')['id'])}/roles")
    except OstiaryError:
        return None  # told as "cannot be read"
    return frozenset(str(role["type"]) for role in roles)
