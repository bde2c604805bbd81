"""The second factor: time-based codes (RFC 6238: SHA-1, 6 digits, 30 s), each good once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from typing import Any

from ostiary.sandbox.okta.call import Call
from ostiary.sandbox.okta.errors import OktaError, bad_passcode, user_locked
from ostiary.sandbox.okta.objects import User

STEP = 30
DRIFT = 2  # steps before and after now that are accepted
ATTEMPTS = 5


def code(secret: str, step: int) -> str:
    padded = secret.upper() + "=" * (-len(secret) % 8)
    digest = hmac.new(base64.b32decode(padded), struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def check(call: Call, user: User, passcode: str, secret: str | None = None) -> None:
    """Raise E0000068 for a wrong or repeated code, E0000069 once there were too many."""
    secret = secret or user.totp_secret
    if user.factor_failures >= ATTEMPTS:
        raise user_locked()
    now = int(call.now) // STEP
    matched = next(
        (
            step
            for step in range(now - DRIFT, now + DRIFT + 1)
            if secret and hmac.compare_digest(code(secret, step).encode(), passcode.encode())
        ),
        None,
    )
    if matched is None:
        user.factor_failures += 1
        if user.factor_failures >= ATTEMPTS:
            user.status, user.status_changed = "LOCKED_OUT", call.now
        raise bad_passcode()
    if matched <= user.factor_step and call.org.codes_once:
        cause = "Each code can only be used once. Please wait for a new code and try again."
        raise OktaError("E0000068", "Invalid Passcode/Answer", 403, (cause,))
    user.factor_step = matched


def show(call: Call, user: User, verb: str, secret: str | None = None) -> dict[str, Any]:
    """The factor as a transaction embeds it; ``verb`` is what can be done with it next."""
    path = "/api/v1/authn/factors"
    where = {
        "verify": f"{path}/{user.factor_id}/verify",
        "enroll": path,
        "activate": f"{path}/{user.factor_id}/lifecycle/activate",
    }[verb]
    shown: dict[str, Any] = {
        "id": user.factor_id,
        "factorType": "token:software:totp",
        "provider": "GOOGLE",
        "vendorName": "GOOGLE",
        "profile": {"credentialId": user.login},
        "_links": {verb: call.link(where, "POST")},
    }
    if verb == "enroll":
        shown |= {"status": "NOT_SETUP", "enrollment": "REQUIRED"}
    if verb == "activate":
        activation = {
            "timeStep": STEP,
            "sharedSecret": secret,
            "encoding": "base32",
            "keyLength": 16,
        }
        shown["_embedded"] = {"activation": activation}
    return shown
