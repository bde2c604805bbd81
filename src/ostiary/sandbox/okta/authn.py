"""Classic sign-in: ``/api/v1/authn``. Source: Okta "Authentication API".

A wrong name, a wrong password and a person who may not sign in all answer E0000004, as Okta's do.
"""

from __future__ import annotations

import hmac
from typing import Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import totp
from ostiary.sandbox.okta.call import PUBLIC, Call, Route
from ostiary.sandbox.okta.errors import bad_login, bad_token, invalid
from ostiary.sandbox.okta.ids import stamp
from ostiary.sandbox.okta.objects import SIGN_IN_STATUSES, Transaction, User

TRANSACTION_LIFE = 300
ATTEMPTS = 10


def check_password(call: Call, username: str, password: str) -> User:
    """The person, or E0000004. The tenth wrong password in a row locks the account."""
    org = call.org
    user = org.user(username) if username else None
    if user is None or user.password is None or user.status not in SIGN_IN_STATUSES:
        _failed(call, username, "INVALID_CREDENTIALS")
        raise bad_login()
    if user.status == "LOCKED_OUT":
        _failed(call, username, "LOCKED_OUT")
        raise bad_login()
    if not hmac.compare_digest(user.password.encode(), password.encode()):
        user.failures += 1
        if user.failures >= ATTEMPTS:
            user.status, user.status_changed = "LOCKED_OUT", call.now
            org.record("user.account.lock", (user.id, user.name), [(user.id, "User", user.name)])
        _failed(call, username, "INVALID_CREDENTIALS")
        raise bad_login()
    user.failures = 0
    return user


def begin(call: Call, user: User, relay: str | None = None) -> Transaction:
    """A transaction in the state that follows the right password."""
    if user.status == "PASSWORD_EXPIRED":
        status = "PASSWORD_EXPIRED"
    elif user.totp_secret:
        status = "MFA_REQUIRED"
    else:
        status = "MFA_ENROLL" if call.org.require_mfa else "SUCCESS"
    transaction = Transaction(
        call.org.secret("00"), user.id, status, call.now + TRANSACTION_LIFE, relay=relay
    )
    if status == "SUCCESS":
        succeed(call, transaction, user, mfa=False)
    else:
        call.org.transactions[transaction.token] = transaction
    return transaction


def succeed(call: Call, transaction: Transaction, user: User, *, mfa: bool) -> None:
    """The state token ends and a session token, good for one session, takes its place."""
    call.org.transactions.pop(transaction.token, None)
    transaction.token = "20111" + call.org.secret("", 38)
    transaction.status, transaction.mfa = "SUCCESS", mfa
    call.org.transactions[transaction.token] = transaction
    user.factor_failures = 0
    user.last_login = call.now
    call.org.record("user.session.start", (user.id, user.name), [(user.id, "User", user.name)])


def current(call: Call, token: object) -> tuple[Transaction, User]:
    """The transaction of a state token, with its person."""
    transaction = call.org.transactions.get(str(token))
    if transaction is None or transaction.status == "SUCCESS" or transaction.expires <= call.now:
        raise bad_token()
    user = call.org.users.get(transaction.user_id)
    if user is None or user.status not in SIGN_IN_STATUSES:
        raise bad_token()
    return transaction, user


def show(call: Call, transaction: Transaction) -> Response:
    user = call.org.users[transaction.user_id]
    embedded: dict[str, Any] = {
        "user": {
            "id": user.id,
            "passwordChanged": stamp(user.password_changed or user.created),
            "profile": {
                "login": user.login,
                "firstName": user.profile["firstName"],
                "lastName": user.profile["lastName"],
                "locale": "en",
                "timeZone": "America/Los_Angeles",
            },
        }
    }
    body: dict[str, Any] = {
        "expiresAt": stamp(transaction.expires),
        "status": transaction.status,
        "relayState": transaction.relay,
        "_embedded": embedded,
        "_links": {"cancel": call.link("/api/v1/authn/cancel", "POST")},
    }
    if transaction.status == "SUCCESS":
        body["sessionToken"] = transaction.token
        body["_links"] = {}
    else:
        body["stateToken"] = transaction.token
    if transaction.status == "MFA_REQUIRED":
        embedded["factors"] = [totp.show(call, user, "verify")]
        embedded["policy"] = {"allowRememberDevice": False, "rememberDeviceByDefault": False}
    elif transaction.status == "MFA_CHALLENGE":
        embedded["factor"] = totp.show(call, user, "verify")
        verify = f"/api/v1/authn/factors/{user.factor_id}/verify"
        body["_links"]["next"] = {"name": "verify", **call.link(verify, "POST")}
    elif transaction.status == "MFA_ENROLL":
        embedded["factors"] = [totp.show(call, user, "enroll")]
    elif transaction.status == "MFA_ENROLL_ACTIVATE":
        embedded["factor"] = totp.show(call, user, "activate", transaction.enrolling)
    return Response.of_json(body)


def primary(call: Call) -> Response:
    """With a state token: where that transaction stands. With a name and a password: a new one."""
    body = call.body
    if "stateToken" in body:
        return show(call, current(call, body["stateToken"])[0])
    username, password = body.get("username"), body.get("password")
    if not isinstance(username, str) or not isinstance(password, str):
        raise invalid("authRequest", "The 'username' and 'password' attributes are required.")
    relay = body.get("relayState")
    return show(call, begin(call, check_password(call, username, password), relay))


def cancel(call: Call) -> Response:
    transaction, _ = current(call, call.body.get("stateToken"))
    del call.org.transactions[transaction.token]
    return Response.of_json({"relayState": transaction.relay})


def spend(call: Call, token: str) -> Transaction | None:
    """Take a session token out of use; None when there is no such token."""
    transaction = call.org.transactions.get(token)
    if transaction is None or transaction.status != "SUCCESS":
        return None
    del call.org.transactions[token]
    return transaction if transaction.expires > call.now else None


def _failed(call: Call, username: str, reason: str) -> None:
    call.org.record("user.session.start", ("unknown", username), result="FAILURE", reason=reason)


ROUTES = (
    Route("POST", "/api/v1/authn", PUBLIC, primary),
    Route("POST", "/api/v1/authn/cancel", PUBLIC, cancel),
)
