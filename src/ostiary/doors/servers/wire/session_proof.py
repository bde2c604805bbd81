"""What shows that a request is made where its session was begun: header ``Ostiary-Proof: TIME NONCE DIGEST MAC``.

TIME is in whole seconds since the epoch, within 60 s of the control plane's clock; NONCE is 16 to 64 characters that no other
request of that time has; DIGEST is the hex of SHA-256 over the body; MAC is the hex of HMAC-SHA-256 under ``Session.proof_key``
(its ASCII) over ``ostiary-request@v1 LF METHOD LF path-with-query LF TIME NONCE DIGEST``: so the head is judged before a body is
read. One proof makes one change.
The key crosses the wire once, when the session begins, like the secret key of temporary credentials of AWS; the token,
which crosses it each time, is of no use without. Sources: RFC 2104; AWS, "Signature Version 4".
"""

from __future__ import annotations

import hmac

HEADER = "ostiary-proof"
NAMESPACE = "ostiary-request@v1"


def mac(key: str, method: str, target: str, stamp: str) -> str:
    """For a request with this ``TIME NONCE DIGEST``."""
    message = f"{NAMESPACE}\n{method}\n{target}\n{stamp}"
    return hmac.digest(key.encode(), message.encode(), "sha256").hex()
