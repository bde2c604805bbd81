"""The sign-in pages: name and password, then a code where one is needed; also the step up to a second factor."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import authn, pages, sessions, totp
from ostiary.sandbox.okta.call import PUBLIC, Call, Route
from ostiary.sandbox.okta.errors import OktaError
from ostiary.sandbox.okta.objects import Session, User
from ostiary.sandbox.okta.principals import session_of

LOGIN, VERIFY = "/login/login.htm", "/login/verify.htm"
HOME = sessions.HOME


@dataclass(frozen=True, slots=True)
class Entered:
    user: User
    session: Session


def enter(call: Call, *, mfa: bool, since: float = 0.0) -> Entered | Response:
    """Who is signed in, strongly enough and not before ``since``; otherwise the answer that leads there and back."""
    session = session_of(call)
    back = quote(call.request.target if call.request.method == "GET" else HOME, safe="")
    if session is None or session.proven < since:
        return Response(302, headers=(("location", call.href(f"{LOGIN}?fromURI={back}")),))
    user = call.org.users[session.user_id]
    if mfa and not session.mfa:
        if user.totp_secret is None:
            text = "This application asks for a second factor and you have none set up."
            return pages.render(
                call, "message.html", 403, title="Second factor needed", text=text, user=user
            )
        return Response(302, headers=(("location", call.href(f"{VERIFY}?fromURI={back}")),))
    return Entered(user, session)


def show_login(call: Call) -> Response:
    goal = sessions.inward(call.request.query.get("fromURI", ""))
    return pages.render(call, "login.html", goal=goal, username="")


def login(call: Call) -> Response:
    form = call.request.form
    goal = sessions.inward(form.get("fromURI", ""))
    name = form.get("username", "")
    try:
        user = authn.check_password(call, name, form.get("password", ""))
        transaction = authn.begin(call, user)
    except OktaError:
        wrong = {"goal": goal, "username": name, "problem": "Unable to sign in"}
        return pages.render(call, "login.html", 401, **wrong)
    if transaction.status == "SUCCESS":
        return _begin(call, user, transaction.token, goal)
    if transaction.status != "MFA_REQUIRED":
        text = "Your account needs attention first: set up a second factor or a new password."
        return pages.render(call, "message.html", 403, title="Cannot sign in", text=text)
    return pages.render(call, "verify.html", goal=goal, state=transaction.token)


def show_verify(call: Call) -> Response:
    """The code page of somebody who is signed in already, for an app that wants more."""
    entered = enter(call, mfa=False)
    if isinstance(entered, Response):
        return entered
    return pages.render(
        call, "verify.html", goal=sessions.inward(call.request.query.get("fromURI", "")), state=""
    )


def verify(call: Call) -> Response:
    form = call.request.form
    goal, state = sessions.inward(form.get("fromURI", "")), form.get("stateToken", "")
    code = form.get("passCode", "").strip()
    try:
        if state:
            transaction, user = authn.current(call, state)
            totp.check(call, user, code)
            authn.succeed(call, transaction, user, mfa=True)
            return _begin(call, user, transaction.token, goal)
        entered = enter(call, mfa=False)
        if isinstance(entered, Response):
            return entered
        totp.check(call, entered.user, code)
        entered.session.mfa, entered.session.proven = True, call.now
        return Response(303, headers=(("location", call.href(goal)),))
    except OktaError as error:
        problem = (error.causes or (error.summary,))[0]
        return pages.render(
            call, "verify.html", error.status, goal=goal, state=state, problem=problem
        )


def _begin(call: Call, user: User, token: str, goal: str) -> Response:
    transaction = authn.spend(call, token)
    session = sessions.start(call, user, mfa=bool(transaction and transaction.mfa))
    headers = (("location", call.href(goal)), *sessions.cookies(call, session))
    return Response(303, headers=headers)


def sign_out(call: Call) -> Response:
    session = session_of(call)
    if session is not None:
        sessions.end(call, session)
    gone = ("set-cookie", "sid=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")
    return Response(303, headers=(("location", call.href(LOGIN)), gone))


ROUTES = (
    Route("GET", LOGIN, PUBLIC, show_login),
    Route("POST", LOGIN, PUBLIC, login),
    Route("GET", VERIFY, PUBLIC, show_verify),
    Route("POST", VERIFY, PUBLIC, verify),
    Route("GET", "/login/signout", PUBLIC, sign_out),
    Route("POST", "/login/signout", PUBLIC, sign_out),
)
