"""The AWS console of the sandbox: one page that shows who the session is, by GetCallerIdentity itself."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime

from ostiary.sandbox.aws import sts
from ostiary.sandbox.aws.call import Call, Principal, principal_of
from ostiary.sandbox.aws.iam_state import AccessKey, AwsError, Role, Session
from ostiary.sandbox.aws.pages import page
from ostiary.sandbox.http import Request, Response
from ostiary.sandbox.world import World

_COOKIE = "aws-console-session"


def cookie(request: Request, session: AccessKey | Session) -> str:
    """The Set-Cookie header that carries a console session."""
    token = session.token if isinstance(session, Session) else ""
    secure = "; Secure" if request.origin.startswith("https:") else ""
    name = session.access_key if isinstance(session, Session) else session.id
    return f"{_COOKIE}={name}.{token}; Path=/console; HttpOnly; SameSite=Lax{secure}"


def handle(world: World, request: Request) -> Response:
    """``/console/logout`` ends the session in this browser; every other page shows the caller identity."""
    if request.path == "/console/logout":
        gone = page("refused.html", heading="Signed out", text="You are signed out.", logout=False)
        return gone.with_headers({"set-cookie": f"{_COOKIE}=; Path=/console; Max-Age=0"})
    session = _session(world, request.cookies.get(_COOKIE, ""))
    if session is None:
        return _refused(
            "Your session has expired", "Sign in again from your organization's page.", 401
        )
    try:
        principal = principal_of(world.aws, session)
    except AwsError as error:
        return _refused("Your session has ended", error.message, error.status)
    return _caller_identity(world, request, session, principal)


def _session(world: World, value: str) -> Session | None:
    access_key, _, token = value.partition(".")
    found = world.aws.keys.get(access_key)
    if not isinstance(found, Session) or found.expires <= world.clock.now():
        return None
    return found if hmac.compare_digest(found.token.encode(), token.encode()) else None


def _caller_identity(
    world: World, request: Request, session: Session, principal: Principal
) -> Response:
    now = world.clock.now()
    call = Call(world, request, "sts", "GetCallerIdentity", "us-east-1", {}, principal, now)
    identity = sts.get_caller_identity(call)
    role = principal.entity
    policies = [arn.rpartition("/")[2] for arn in role.managed] if isinstance(role, Role) else []
    return page(
        "console.html",
        account=identity["Account"],
        alias=principal.account.alias,
        role=session.role_name,
        arn=identity["Arn"],
        user_id=identity["UserId"],
        session_name=session.session_name,
        expires=datetime.fromtimestamp(session.expires, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        policies=policies + (sorted(role.inline) if isinstance(role, Role) else []),
    )


def _refused(heading: str, text: str, status: int) -> Response:
    return page("refused.html", status, heading=heading, text=text, logout=False)
