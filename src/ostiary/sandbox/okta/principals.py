"""Who calls, and whether they may: SSWS tokens, OAuth scopes with an admin role, browser sessions."""

from __future__ import annotations

from ostiary.sandbox.okta import dpop, errors
from ostiary.sandbox.okta.call import PUBLIC, SELF, Call, Principal
from ostiary.sandbox.okta.objects import SIGN_IN_STATUSES, Session, Token, User

# Okta help, "Standard administrator roles and permissions": scopes that a role stands for, without "okta."
ROLES: dict[str, frozenset[str]] = {
    "SUPER_ADMIN": frozenset({"*.manage"}),
    "ORG_ADMIN": frozenset({"*.read", "groups.manage", "users.manage"}),
    "APP_ADMIN": frozenset(
        {"apps.manage", "schemas.manage", "users.read", "groups.read", "policies.read", "logs.read"}
    ),
    "GROUP_MEMBERSHIP_ADMIN": frozenset({"groups.read", "users.read"}),
    "USER_ADMIN": frozenset({"groups.manage", "users.manage", "apps.read"}),
    "READ_ONLY_ADMIN": frozenset({"*.read"}),
    "REPORT_ADMIN": frozenset({"logs.read", "users.read", "groups.read", "apps.read"}),
}


def authenticate(call: Call) -> Principal:
    """The principal of a call; a credential that is present but wrong is refused.

    ``/userinfo`` looks at its token itself: it may be one of a custom server, which the API does not take.
    """
    if call.request.path.endswith("/v1/userinfo"):
        return Principal("anonymous", "")
    scheme, _, value = call.request.header("authorization").partition(" ")
    if scheme.upper() == "SSWS":
        token = call.org.api_tokens.get(value)
        if token is None:
            raise errors.bad_token()
        return Principal("token", token.id, roles=frozenset({token.role}))
    if scheme in ("Bearer", "DPoP"):
        return _client(call, scheme, value)
    session = session_of(call)
    if session is not None:
        user = call.org.users[session.user_id]
        return Principal("person", user.id, roles=_of_person(user), user=user)
    return Principal("anonymous", "")


def authorize(call: Call, scope: str) -> None:
    """Raise unless the principal may use ``scope`` (``okta.apps.read``, SELF or PUBLIC)."""
    who = call.principal
    if scope == PUBLIC:
        return
    if who.kind == "anonymous":
        raise errors.no_session()
    if scope == SELF:
        if who.kind == "token":
            return
        if who.user is None or not allows(who.scopes, "users.read.self"):
            raise errors.forbidden(_challenge("insufficient_scope"))
        return
    family = scope.removeprefix("okta.")
    if not allows(who.scopes, family):
        raise errors.forbidden(_challenge("insufficient_scope"))
    if not _roles_allow(who.roles, family):
        if who.user is not None and who.scopes is not None and family == "apps.read":
            return  # a person's own token: the operation shows what the person is assigned to
        raise errors.forbidden()


def allows(scopes: frozenset[str] | None, family: str) -> bool:
    """Whether granted scopes hold ``apps.read``; manage holds read too. None: scopes do not apply."""
    if scopes is None:
        return True
    wanted = {f"okta.{family}"}
    if family.endswith(".read"):
        wanted.add(f"okta.{family.removesuffix('read')}manage")
    if family == "users.read.self":
        wanted |= {"okta.users.read", "okta.users.manage"}
    return not scopes.isdisjoint(wanted)


def _of_person(user: User) -> frozenset[str]:
    return frozenset({user.admin_role} if user.admin_role else ())


def _roles_allow(roles: frozenset[str], family: str) -> bool:
    granted = frozenset[str]().union(*(ROLES[role] for role in roles))
    noun, _, verb = family.rpartition(".")
    wanted = {family, f"*.{verb}", f"{noun}.manage", "*.manage"}
    return not granted.isdisjoint(wanted)


def session_of(call: Call) -> Session | None:
    """The live session of the ``sid`` cookie, of a person who may still sign in."""
    session = call.org.sessions.get(call.request.cookies.get("sid", ""))
    if session is None or session.expires <= call.now:
        return None
    user = call.org.users.get(session.user_id)
    return session if user is not None and user.status in SIGN_IN_STATUSES else None


def live_token(call: Call, value: str, kind: str) -> Token | None:
    token = call.org.tokens.get(value)
    fresh = token is not None and token.kind == kind and token.expires > call.now
    return token if fresh else None


def _client(call: Call, scheme: str, value: str) -> Principal:
    token = live_token(call, value, "access")
    if token is None:
        raise errors.bad_token(_challenge("invalid_token"))
    if (token.thumbprint is not None) != (scheme == "DPoP"):
        raise errors.bad_token(_challenge("invalid_token"))
    if token.thumbprint is not None:
        dpop.check_call(call, value, token.thumbprint)
    app = call.org.apps.get(token.client_id)
    if app is None or app.status != "ACTIVE":
        raise errors.bad_token(_challenge("invalid_token"))
    user = call.org.users.get(token.user_id) if token.user_id else None
    if token.user_id and (user is None or user.status not in SIGN_IN_STATUSES):
        raise errors.bad_token(_challenge("invalid_token"))
    roles = _of_person(user) if user else frozenset(app.admin_roles.values())
    scopes = frozenset(token.scopes)
    return Principal("client", app.id, roles, scopes, user, app.id)


def _challenge(error: str) -> tuple[tuple[str, str], ...]:
    return (("www-authenticate", f'Bearer error="{error}"'),)
