"""The second half of classic sign-in: verify a factor, or enrol one where the org demands it."""

from __future__ import annotations

import base64
import hashlib

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import authn, totp
from ostiary.sandbox.okta.call import PUBLIC, Call, Route
from ostiary.sandbox.okta.errors import invalid, missing, wrong_transaction


def verify(call: Call) -> Response:
    """Without a ``passCode`` the answer is MFA_CHALLENGE; with the right one, SUCCESS.

    ``answer`` does as well: okta-awscli sends a code by that name.
    """
    body = call.body
    transaction, user = authn.current(call, body.get("stateToken"))
    if transaction.status not in ("MFA_REQUIRED", "MFA_CHALLENGE"):
        raise wrong_transaction()
    if call.params["factor"] != user.factor_id:
        raise missing("Factor", call.params["factor"])
    passcode = body.get("passCode") or body.get("answer")
    if not passcode:
        transaction.status = "MFA_CHALLENGE"
    else:
        totp.check(call, user, str(passcode))
        authn.succeed(call, transaction, user, mfa=True)
    return authn.show(call, transaction)


def enroll(call: Call) -> Response:
    body = call.body
    transaction, _ = authn.current(call, body.get("stateToken"))
    if transaction.status != "MFA_ENROLL":
        raise wrong_transaction()
    if (body.get("factorType"), body.get("provider")) != ("token:software:totp", "GOOGLE"):
        raise invalid("factorType", "factorType: Only token:software:totp of GOOGLE is enabled.")
    seed = hashlib.sha256(call.org.mint("tfa").encode()).digest()[:10]
    transaction.enrolling = base64.b32encode(seed).decode()
    transaction.status = "MFA_ENROLL_ACTIVATE"
    return authn.show(call, transaction)


def activate(call: Call) -> Response:
    body = call.body
    transaction, user = authn.current(call, body.get("stateToken"))
    if transaction.status != "MFA_ENROLL_ACTIVATE" or call.params["factor"] != user.factor_id:
        raise wrong_transaction()
    totp.check(call, user, str(body.get("passCode") or ""), transaction.enrolling)
    user.totp_secret, transaction.enrolling = transaction.enrolling, None
    call.org.record("user.mfa.factor.activate", (user.id, user.name))
    authn.succeed(call, transaction, user, mfa=True)
    return authn.show(call, transaction)


ROUTES = (
    Route("POST", "/api/v1/authn/factors", PUBLIC, enroll),
    Route("POST", "/api/v1/authn/factors/{factor}/verify", PUBLIC, verify),
    Route("POST", "/api/v1/authn/factors/{factor}/lifecycle/activate", PUBLIC, activate),
)
