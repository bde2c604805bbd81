"""Browser sessions: ``/api/v1/sessions``, the cookie redirect, and what a person asks about themselves."""

from __future__ import annotations

import re
from typing import Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import apps, authn, refresh_tokens, users
from ostiary.sandbox.okta.call import PUBLIC, SELF, Call, Route, done
from ostiary.sandbox.okta.errors import OktaError, missing, no_session
from ostiary.sandbox.okta.ids import stamp
from ostiary.sandbox.okta.objects import App, Session, User
from ostiary.sandbox.okta.paging import whole
from ostiary.sandbox.okta.principals import session_of

HOME = "/app/UserHome"
_INWARD = re.compile(r"/(?![/\\])[\x21-\x7e]*")
LIFE = 7200  # seconds without use
DEVICE_LIFE = 63072000


def start(call: Call, user: User, *, mfa: bool) -> Session:
    """A new session. Its id is also the value of the ``sid`` cookie."""
    session = Session(call.org.secret("102", 42), user.id, call.now, call.now + LIFE, mfa, call.now)
    call.org.sessions[session.id] = session
    return session


def end(call: Call, session: Session) -> None:
    """The person signs out."""
    del call.org.sessions[session.id]
    user = call.org.users[session.user_id]
    call.org.record("user.session.end", (user.id, user.name), ((user.id, "User", user.name),))


def revoke(call: Call) -> Response:
    """An administrator ends all sessions of a person; with ``oauthTokens`` their refresh tokens too.

    Source: Okta API, "User Sessions"; Okta help, "Clear user session" (the event). The scope is unverified.
    """
    user = users.find(call)
    for known in [key for key, held in call.org.sessions.items() if held.user_id == user.id]:
        del call.org.sessions[known]
    if call.flag("oauthTokens", default=False):
        refresh_tokens.end_all(call.org, user.id)
    call.record("user.session.clear", (user.id, "User", user.name))
    return done()


def cookies(call: Call, session: Session) -> list[tuple[str, str]]:
    """No Domain attribute: a cookie jar would not send it back to a host with a port."""
    device = call.request.cookies.get("DT") or "DI0" + call.org.secret("", 22)
    flags = "Path=/; Secure; HttpOnly; SameSite=Lax"
    found = [("sid", f"sid={session.id}; {flags}")]
    if call.org.pipeline == "idx":
        found.append(("idx", f"idx={session.id}; {flags}"))
    found.append(("DT", f"DT={device}; Max-Age={DEVICE_LIFE}; {flags}"))
    return [("set-cookie", value) for _, value in found]


def show(call: Call, session: Session) -> dict[str, Any]:
    user = call.org.users[session.user_id]
    return {
        "id": session.id,
        "userId": user.id,
        "login": user.login,
        "createdAt": stamp(session.created),
        "expiresAt": stamp(session.expires),
        "status": "ACTIVE",
        "lastPasswordVerification": stamp(session.created),
        "lastFactorVerification": stamp(session.created) if session.mfa else None,
        "amr": ["pwd", "otp", "mfa"] if session.mfa else ["pwd"],
        "idp": {"id": call.org.id, "type": "OKTA"},
        "mfaActive": user.totp_secret is not None,
        "_links": {
            "self": call.link("/api/v1/sessions/me", "GET", "DELETE"),
            "user": {"name": user.name, **call.link("/api/v1/users/me", "GET")},
        },
    }


def create(call: Call) -> Response:
    transaction = authn.spend(call, str(call.body.get("sessionToken")))
    if transaction is None:
        raise OktaError("E0000004", "Authentication failed", 401)
    session = start(call, call.org.users[transaction.user_id], mfa=transaction.mfa)
    return Response.of_json(show(call, session), headers=cookies(call, session))


def get_own(call: Call) -> Response:
    session = session_of(call)
    if session is None:
        raise missing("Session", "me")
    session.expires = call.now + LIFE
    return Response.of_json(show(call, session))


def refresh_own(call: Call) -> Response:
    """Lengthen the session; aws-okta-processor keeps one between runs."""
    return get_own(call)


def end_own(call: Call) -> Response:
    session = session_of(call)
    if session is None:
        raise missing("Session", "me")
    end(call, session)
    return done()


def cookie_redirect(call: Call) -> Response:
    """Spend a session token for cookies and go on; a spent token is no harm to a live session.

    A goal outside this org leads to the dashboard (gimme-aws-creds names one and looks only at the cookies).
    """
    query = call.request.query
    goal = inward(query.get("redirectUrl", "").removeprefix(call.origin))
    return enter_by_token(call, query.get("token", ""), call.href(goal))


def inward(goal: str) -> str:
    """A path of this org and nothing else; browsers read ``//`` and ``/\\`` as another host, and skip line ends."""
    return goal if _INWARD.fullmatch(goal) else HOME


def enter_by_token(call: Call, token: str, goal: str) -> Response:
    """Go to ``goal`` with a new session; without a good token or a live session, to the sign-in page."""
    transaction = authn.spend(call, token)
    if transaction is not None:
        session = start(call, call.org.users[transaction.user_id], mfa=transaction.mfa)
        return Response(302, headers=(("location", goal), *cookies(call, session)))
    live = session_of(call) is not None
    return Response(302, headers=(("location", goal if live else call.href("/login/login.htm")),))


def links_of(call: Call, user: User) -> list[App]:
    """The apps that a person sees, in the order of their labels."""
    found = [
        app
        for app in call.org.apps.values()
        if app.status == "ACTIVE"
        and app.mode in ("SAML_2_0", "BROWSER_PLUGIN")
        and apps.assigned(call, app, user)
    ]
    return sorted(found, key=lambda app: app.label.lower())


def _link(call: Call, app: App, user: User, order: int) -> dict[str, Any]:
    return {
        "id": f"00u{app.id[3:]}",
        "label": app.label,
        "linkUrl": call.href(apps.tile(app)),
        "logoUrl": call.href(f"/img/logos/{app.key}.svg"),
        "appName": app.key,
        "appInstanceId": app.id,
        "appAssignmentId": f"0ua{user.id[3:]}",
        "credentialsSetup": False,
        "hidden": False,
        "sortOrder": order,
    }


def me(call: Call) -> Response:
    """Whoever calls; of an API token the administrator who made it."""
    token = next(
        (token for token in call.org.api_tokens.values() if token.id == call.principal.id), None
    )
    return Response.of_json(users.show(call, token.owner if token else _own(call)))


def own_links(call: Call) -> Response:
    return _links(call, _own(call))


def links(call: Call) -> Response:
    return _links(call, users.find(call))


def _links(call: Call, user: User) -> Response:
    found = links_of(call, user)
    return whole(call, [_link(call, app, user, order) for order, app in enumerate(found)])


def tabs(call: Call) -> Response:
    """What the dashboard asks for, with items and resources embedded when they are expanded."""
    user = _own(call)
    expand = "items" in call.request.target
    items = [
        {
            "id": f"uai{app.id[3:]}",
            "type": "application",
            "_embedded": {"resource": _link(call, app, user, order)},
        }
        for order, app in enumerate(links_of(call, user))
    ]
    tab = {
        "id": f"utb{user.id[3:]}",
        "label": "Work",
        "sortOrder": 0,
        "_embedded": {"items": items} if expand else {},
    }
    return Response.of_json([tab])


def _own(call: Call) -> User:
    if call.principal.user is None:
        raise no_session()
    return call.principal.user


ROUTES = (
    Route("POST", "/api/v1/sessions", PUBLIC, create),
    Route("GET", "/api/v1/sessions/me", PUBLIC, get_own),
    Route("POST", "/api/v1/sessions/me/lifecycle/refresh", PUBLIC, refresh_own),
    Route("DELETE", "/api/v1/sessions/me", PUBLIC, end_own),
    Route("GET", "/login/sessionCookieRedirect", PUBLIC, cookie_redirect),
    Route("GET", "/api/v1/users/me", SELF, me),
    Route("GET", "/api/v1/users/me/appLinks", SELF, own_links),
    Route("GET", "/api/v1/users/me/home/tabs", SELF, tabs),
    Route("GET", "/api/v1/users/{user}/appLinks", "okta.users.read", links),
    Route("DELETE", "/api/v1/users/{user}/sessions", "okta.users.manage", revoke),
)
